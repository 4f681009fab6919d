package config

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// bucketURL is the address of a table in a bucket, taken apart. What it holds beyond
// bucket and folder has keys of its own. Complaints never quote a value: it may be a
// secret.
type bucketURL struct {
	scheme, bucket, folder string
	options                url.Values // of the library for S3
	endpoint, region       string     // that parameters, or the host, name
	complaints             []string
}

const bucketForm = "write it as s3://bucket/folder, gs://bucket/folder or azblob://container/folder"

// bucketSchemes are those that are understood: ours, and those of other programs.
var bucketSchemes = map[string]string{
	"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs", "azblob": "azblob", "az": "azblob", "azure": "azblob",
	"abfs": "azblob", "abfss": "azblob", "wasb": "azblob", "wasbs": "azblob",
}

// bucketAdvices are for schemes of other programs that are not understood.
var bucketAdvices = map[string]string{
	"file": "is a local folder; write its name as path",
	"adl":  "is of Data Lake Storage Gen1, which was closed; write azblob://container/folder",
	"hdfs": "is of HDFS, which is not supported; mount it, and write the folder as path",
	"dbfs": "is a path of Databricks; write the address of the bucket behind it, such as s3://bucket/folder",
	"r2":   "must begin with s3://; the address of the R2 account is the endpoint, https://ACCOUNT.r2.cloudflarestorage.com",
}

var (
	bucketName = regexp.MustCompile(`^[A-Za-z0-9$][A-Za-z0-9._$-]*$`)
	azureHost  = regexp.MustCompile(`^([a-z0-9-]+)\.(?:dfs|blob)\.(.+)$`)
)

// newBucketURL takes a URL apart, and finds everything that is wrong with it.
func newBucketURL(text string) *bucketURL {
	b := &bucketURL{options: url.Values{}}
	text = strings.TrimSpace(text) // of a variable or a file, it ends with a line feed
	scheme, rest, found := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	if !found || strings.Contains(scheme, "/") {
		return b.complain("names no bucket; %s", bucketForm)
	}
	if strings.ContainsFunc(rest, unicode.IsControl) {
		return b.complain("holds a line feed or another control character; take it out")
	}
	known, ok := bucketSchemes[scheme]
	switch advice := bucketAdvices[scheme]; {
	case ok:
		b.scheme = known
	case advice != "":
		return b.complain("%s", advice)
	case scheme == "http", scheme == "https":
		return b.complain("is a web address; %s, and the address of a server that is not the cloud's own as endpoint", bucketForm)
	default:
		return b.complain("must begin with s3://, gs:// or azblob://; for a local folder use path")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, folder, _ := strings.Cut(rest, "/")
	b.readAuthority(scheme, authority)
	b.readFolder(folder)
	b.readParameters(query)
	return b
}

func (b *bucketURL) complain(format string, args ...any) *bucketURL {
	b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
	return b
}

func (b *bucketURL) readAuthority(scheme, authority string) {
	before, host, found := strings.Cut(authority, "@")
	if !found {
		before, host = "", authority
	}
	b.bucket = host
	if strings.HasPrefix(scheme, "abfs") || strings.HasPrefix(scheme, "wasb") {
		m := azureHost.FindStringSubmatch(host)
		switch {
		case strings.HasSuffix(host, ".fabric.microsoft.com"):
			b.complain("is of OneLake, which is not supported; load into a container of a storage account, and make a shortcut to it")
		case found && m == nil:
			b.complain("must be %s://container@account.dfs.core.windows.net/folder", scheme)
		case found:
			b.bucket, b.endpoint = before, "https://"+m[1]+".blob."+m[2]
		}
	} else if found {
		b.complain("must hold no user or password; credentials come from the environment, such as %s", b.secretName())
		return
	}
	switch {
	case b.bucket == "":
		b.complain("names no bucket; %s", bucketForm)
	case strings.Count(b.bucket, ":") == 1:
		b.complain("names a server, not a bucket; write %s://bucket/folder, and the server as endpoint, such as http://host:9000", b.scheme)
	case !bucketName.MatchString(b.bucket):
		b.complain("holds characters that the name of a bucket cannot have; letters, digits, dots and hyphens can be in it")
	}
}

func (b *bucketURL) readFolder(folder string) {
	if strings.Contains(folder, "#") {
		b.complain(`holds a "#"; write it as %%23`)
		return
	}
	decoded, err := url.PathUnescape(folder)
	if err != nil {
		b.complain(`holds a "%%" that two hexadecimal digits do not follow; write it as %%25`)
		return
	}
	b.folder = strings.Trim(decoded, "/")
	if b.folder == "" {
		return
	}
	for part := range strings.SplitSeq(b.folder, "/") {
		if part == "" || part == "." || part == ".." {
			b.complain("holds a part of a folder's name that is empty, . or ..; take it out")
			return
		}
	}
}

// secretName returns the variable that holds credentials.
func (b *bucketURL) secretName() string {
	switch b.scheme {
	case "gs":
		return "GOOGLE_APPLICATION_CREDENTIALS"
	case "azblob":
		return "AZURE_STORAGE_SAS_TOKEN"
	default:
		return "AWS_ACCESS_KEY_ID"
	}
}

// s3Options are the parameters that the storage of S3 understands.
var s3Options = []string{
	"anonymous", "awssdk", "dualstack", "fips", "hostname_immutable", "profile", "rate_limiter_capacity", "request_checksum_calculation",
	"response_checksum_validation", "role", "role_duration", "role_external_id", "role_session_name", "use_path_style",
	"web_identity_token_file",
}

// bucketParameters are further ones, in lower case and without "_" and "-", by what becomes
// of them, or by what to do.
var bucketParameters = map[string]string{
	"=region":         "region awsregion",
	"=endpoint":       "endpoint endpointurl awsendpoint",
	"=use_path_style": "s3forcepathstyle forcepathstyle pathstyle pathstyleaccess",
	"=account":        "storageaccount account accountname azurestorageaccountname",
	"write the server as endpoint, with http://": "disablessl disablehttps allowhttp",
	"write the server as endpoint":               "protocol domain cdn",
	"write the emulator as endpoint":             "localemu",
	"write the folder behind the bucket":         "prefix",
	"take it out":                                "versionid",
	"set the encryption on the bucket":           "ssetype kmskeyid",
	"is not supported; take it out":              "accelerate userproject universedomain",
	"is not needed; take it out":                 "project",
	"set GOOGLE_APPLICATION_CREDENTIALS":         "accessid privatekeypath",
}

// adviceFor returns the advice under which a parameter is listed, or "".
func adviceFor(parameter string, listed map[string]string) string {
	for advice, names := range listed {
		if slices.Contains(strings.Fields(names), parameter) {
			return advice
		}
	}
	return ""
}

// secretParameter are credentials and signatures, in the same way.
var secretParameter = regexp.MustCompile(`secret|password|token|accesskey|^key$|accountkey|signature|^sig$|^s[vretpi]$` +
	`|^s[ik][oetvr]id$|^spr$|^srt$|^ss$|^xamz|^xgoog|credential|connectionstring|^sas`)

func (b *bucketURL) readParameters(query string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		b.complain(`holds a parameter that cannot be read; write special characters as %%XX`)
		return
	}
	unknown := []string{}
	flat := strings.NewReplacer("_", "", "-", "", ".", "")
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value, short := values.Get(key), flat.Replace(strings.ToLower(key))
		if b.scheme == "s3" && slices.Contains(s3Options, key) {
			b.options.Set(key, value)
			continue
		}
		into := adviceFor(short, bucketParameters)
		switch {
		case into == "=region" && b.scheme == "s3":
			b.region = value
		case into == "=endpoint":
			b.endpoint = strings.TrimSuffix(value, "/")
		case into == "=use_path_style" && b.scheme == "s3":
			b.options.Set("use_path_style", value)
		case into == "=account" && b.scheme == "azblob":
			b.endpoint = "https://" + value + ".blob.core.windows.net"
		case into != "" && into[0] != '=':
			b.complain("has the parameter %s: %s", key, into)
		case secretParameter.MatchString(short):
			b.complain("must hold no credentials (a parameter has some); they come from the environment, such as %s", b.secretName())
		case keyForm.MatchString(key):
			unknown = append(unknown, key)
		default:
			b.complain("has a parameter whose name cannot be; write a ? of the folder as %%3F")
		}
	}
	if len(unknown) > 0 {
		b.complain("has parameters that are unknown for %s://: %s; take them out", b.scheme, strings.Join(unknown, ", "))
	}
	if style := b.options.Get("use_path_style"); style != "" && style != "true" && style != "false" {
		b.complain("has the parameter use_path_style, which must be true or false")
	}
}

// text returns the address as the storage reads it.
func (b *bucketURL) text() string {
	text := b.scheme + "://" + b.bucket
	if b.folder != "" {
		text += (&url.URL{Path: "/" + b.folder}).EscapedPath()
	}
	if len(b.options) > 0 {
		text += "?" + b.options.Encode()
	}
	return text
}
