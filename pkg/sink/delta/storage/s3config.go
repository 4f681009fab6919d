package storage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// s3Config reads environment, profile and the parameters of a url, which are named as
// in gocloud.dev.
func s3Config(ctx context.Context, q url.Values) (aws.Config, error) {
	var o config.LoadOptions
	var limiter retry.RateLimiter = ratelimit.None
	var checksums, validation string
	var anonymous, dualstack, fips, immutable bool
	var capacity uint64
	for name, into := range map[string]any{
		"region": &o.Region, "profile": &o.SharedConfigProfile, "anonymous": &anonymous, "dualstack": &dualstack, "fips": &fips,
		"hostname_immutable": &immutable, "rate_limiter_capacity": &capacity,
		"request_checksum_calculation": &checksums, "response_checksum_validation": &validation,
	} {
		if err := parseParameter(q, name, into); err != nil {
			return aws.Config{}, err
		}
	}
	o.Logger = logging.Nop{} // by itself it writes to the standard error
	if capacity > 0 {
		limiter = ratelimit.NewTokenRateLimit(uint(capacity))
	}
	o.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(so *retry.StandardOptions) { so.RateLimiter = limiter })
	}
	if dualstack {
		o.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	if fips {
		o.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if anonymous {
		o.Credentials = aws.AnonymousCredentials{}
	}
	var err error
	if o.RequestChecksumCalculation, err = when(checksums, "request_checksum_calculation",
		aws.RequestChecksumCalculationWhenSupported, aws.RequestChecksumCalculationWhenRequired); err != nil {
		return aws.Config{}, err
	}
	if o.ResponseChecksumValidation, err = when(validation, "response_checksum_validation",
		aws.ResponseChecksumValidationWhenSupported, aws.ResponseChecksumValidationWhenRequired); err != nil {
		return aws.Config{}, err
	}
	cfg, err := config.LoadDefaultConfig(ctx, func(into *config.LoadOptions) error { *into = o; return nil })
	if err != nil {
		return aws.Config{}, err
	}
	if err := assumeRole(&cfg, q, anonymous); err != nil {
		return aws.Config{}, err
	}
	if !anonymous {
		cfg.Credentials = namedCredentials{cfg.Credentials}
	}
	return cfg, nil
}

// parseParameter sets what into points to, if the url has the parameter.
func parseParameter(q url.Values, name string, into any) (err error) {
	value := q.Get(name)
	if value == "" {
		return nil
	}
	switch into := into.(type) {
	case *string:
		*into = value
	case *bool:
		*into, err = strconv.ParseBool(value)
	case *uint64:
		*into, err = strconv.ParseUint(value, 10, 32)
	}
	if err != nil {
		return fmt.Errorf("the parameter %s of the url is %q, which cannot be", name, value)
	}
	return nil
}

// when returns what a mode of checksums means; zero leaves it to the environment.
func when[T any](value, name string, supported, required T) (mode T, err error) {
	switch strings.ToLower(value) {
	case "":
		return mode, nil
	case "when_supported":
		return supported, nil
	case "when_required":
		return required, nil
	}
	return mode, fmt.Errorf("the parameter %s of the url is %q; write when_supported or when_required", name, value)
}

// assumeRole replaces the credentials by those of a role that the url names.
func assumeRole(cfg *aws.Config, q url.Values, anonymous bool) error {
	role, file, external := q.Get("role"), q.Get("web_identity_token_file"), q.Get("role_external_id")
	session := q.Get("role_session_name")
	switch {
	case role == "" && (file != "" || external != "" || session != "" || q.Has("role_duration")):
		return errors.New("the url has parameters of a role and not the role; write role=arn:…")
	case role == "":
		return nil
	case !strings.HasPrefix(role, "arn:"):
		return errors.New("the parameter role of the url is not the name of a role; write role=arn:…")
	case anonymous:
		return errors.New("the parameters role and anonymous of the url exclude each other; take one out")
	case file != "" && external != "":
		return errors.New("the parameters web_identity_token_file and role_external_id of the url exclude each other; take one out")
	case cfg.Region == "":
		return errors.New("a role needs a region to ask for it in; set region, or AWS_REGION")
	}
	var duration time.Duration
	if text := q.Get("role_duration"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("the parameter role_duration of the url is %q; write it as 1h", text)
		}
	}
	client := sts.NewFromConfig(*cfg)
	if file != "" {
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(client, role, stscreds.IdentityTokenFile(file),
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName, o.Duration = session, duration }))
		return nil
	}
	cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, role, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = session, duration
		if external != "" {
			o.ExternalID = &external
		}
	}))
	return nil
}

// namedCredentials says of an error that it is about credentials, and where they were
// looked for.
type namedCredentials struct{ aws.CredentialsProvider }

func (c namedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err == nil || ctx.Err() != nil {
		return found, err
	}
	e := &credentialsError{error: err, advice: "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"}
	if operation, ok := errors.AsType[*smithy.OperationError](err); ok && operation.Service() == "ec2imds" {
		e.last = true
		e.advice = "there are no credentials: none in the environment (AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE, " +
			"AWS_CONTAINER_CREDENTIALS_…), " +
			"none in the profile, and none from the machine's metadata service; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
	}
	return found, e
}
