package amp

import (
	"context"
	"os"
)

// tokenVariable is where Amp's own clients look for a token (AP 7).
const tokenVariable = "AMP_AUTH_TOKEN"

// bearer returns the token for a call: a fixed one, or that of a file.
type bearer struct {
	fixed string
	file  *tokenFile // nil if fixed, or if there is no token at all
}

// newBearer chooses the token: the configured one, that of the environment, the
// file's. A file that cannot be used is an error now, not at the first query.
func newBearer(cfg Config) (*bearer, error) {
	if cfg.Token != "" {
		return &bearer{fixed: cfg.Token}, nil
	}
	if token := os.Getenv(tokenVariable); token != "" {
		return &bearer{fixed: token}, nil
	}
	if cfg.TokenFile == "" {
		return &bearer{}, nil
	}
	file, err := openTokenFile(cfg.TokenFile, cfg.RefreshURL, cfg.HTTP)
	if err != nil {
		return nil, err
	}
	return &bearer{file: file}, nil
}

// token returns the token to send, refreshed if need be; empty: send none. Of a file it
// is another one than the server has just refused.
func (b *bearer) token(ctx context.Context, refused string) (string, error) {
	if b.file == nil {
		return b.fixed, nil
	}
	return b.file.token(ctx, refused)
}

// advice says what to do when the server does not accept the token.
func (b *bearer) advice() string {
	switch {
	case b.file != nil:
		return adviceLogin
	case b.fixed != "":
		return "set a token that is still valid, in the configuration or in " + tokenVariable
	default:
		return "set a token, in the configuration or in " + tokenVariable + ", or name the token file of the Amp CLI"
	}
}
