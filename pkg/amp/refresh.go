package amp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
)

// DefaultRefreshURL is where the token of the Amp CLI is refreshed (AP 7).
const DefaultRefreshURL = "https://auth.amp.thegraph.com/api/v1/auth/refresh"

const (
	refreshTimeout = 30 * time.Second
	// tooManyPause is the pause after a 429 without a retry-after (AP 7).
	tooManyPause = time.Minute
	// mostReply bounds what is read of a reply, in bytes.
	mostReply = 1 << 20
)

// refresher exchanges a refresh token for a new pair of tokens.
type refresher struct {
	url    string
	client *http.Client
}

type refreshRequest struct {
	RefreshToken string `json:"refresh_token"`
	UserID       string `json:"user_id"`
}

type refreshReply struct {
	Token        string `json:"token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	User         struct {
		ID       string   `json:"id"`
		Accounts []string `json:"accounts"`
	} `json:"user"`
}

// refresh returns l with new tokens. A server that refuses the login is a permanent
// error, one that cannot be reached or asks to wait a later one. No error holds a
// token.
func (r refresher) refresh(ctx context.Context, l login) (login, error) {
	body, err := json.Marshal(refreshRequest{RefreshToken: l.refresh, UserID: l.user})
	if err != nil {
		return login{}, err
	}
	call, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(call, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return login{}, fault.Permanent(errors.New("the refresh URL cannot be used"))
	}
	request.Header.Set("Authorization", "Bearer "+l.access)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	asked := time.Now()
	response, err := r.client.Do(request)
	if err != nil {
		return login{}, fault.Later(err, unreachablePause)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, mostReply))
	if err != nil {
		return login{}, fault.Later(err, unreachablePause)
	}
	if response.StatusCode != http.StatusOK {
		return login{}, refusal(response, hide(text, l))
	}
	var reply refreshReply
	switch err := json.Unmarshal(text, &reply); {
	case err != nil || reply.Token == "" || reply.ExpiresIn <= 0:
		return login{}, errors.New("the reply of the login service cannot be read")
	case reply.User.ID != l.user:
		return login{}, fault.Permanent(errors.New("the login service answered for another user; " + adviceLogin))
	}
	l.access, l.accounts = reply.Token, reply.User.Accounts
	if reply.RefreshToken != "" {
		l.refresh = reply.RefreshToken
	}
	l.expiry = asked.Add(time.Duration(reply.ExpiresIn) * time.Second)
	return l, nil
}

// refusal classes an answer other than 200.
func refusal(response *http.Response, text []byte) error {
	err := fmt.Errorf("the login service answered %s", response.Status)
	var reply struct {
		Description string `json:"error_description"`
	}
	if json.Unmarshal(text, &reply) == nil && reply.Description != "" {
		err = fmt.Errorf("%w: %s", err, fault.Shorten(reply.Description, longest))
	}
	switch code := response.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fault.Permanent(fmt.Errorf("%w; %s", err, adviceLogin))
	case code == http.StatusTooManyRequests:
		return fault.Later(err, retryAfter(response.Header.Get("Retry-After")))
	case code < http.StatusInternalServerError:
		return fault.Permanent(err)
	}
	return err
}

// retryAfter reads the header's two forms: seconds, or a date.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(time.Until(date), 0)
	}
	return tooManyPause
}

// hide takes the tokens out of a text that a server may have echoed.
func hide(text []byte, l login) []byte {
	return []byte(strings.NewReplacer(l.access, "***", l.refresh, "***").Replace(string(text)))
}
