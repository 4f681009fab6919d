package page

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/ampipe/ampipe/pkg/status"
)

// visitor is for whom the page is written.
type visitor struct {
	steers   bool // the page has buttons, for those who have signed in
	signedIn bool
	last     outcome
}

// writeSteer writes the buttons of a pipeline. They are the same for everybody, and shown to
// those who have signed in: nobody else's are obeyed.
func (p pipelineView) writeSteer(b *builder) {
	if !p.Planned {
		return
	}
	b.add(`<div class="steer"><h3>Steer %v</h3>`, p.Name)
	if len(p.Failed) > 0 {
		p.openForm(b, Retry, "")
		b.add(`<label for="%v-retry">Failed blocks</label> <input id="%v-retry" name="blocks" value="all" required> `+
			`<button id="%v-retry-button">Retry</button></form>`, p.id, p.id, p.id)
	}
	for i, s := range p.Sinks {
		verb, word := Pause, "Pause"
		if s.State == status.SinkPaused && s.ByRequest {
			verb, word = Resume, "Resume"
		}
		b.add(`<div class="forms">`)
		p.openForm(b, verb, s.Name)
		b.add(`<button id="%v-pause-%v">%v %v</button></form>`, p.id, i, word, s.Name)
		p.openForm(b, Replay, s.Name)
		b.add(`<label for="%v-replay-%v">Blocks of %v</label> <input id="%v-replay-%v" name="blocks" placeholder="16M:17M, or all" required> `+
			`<button id="%v-replay-button-%v">Replay %v…</button></form></div>`, p.id, i, s.Name, p.id, i, p.id, i, s.Name)
	}
	b.add(`</div>`)
}

func (p pipelineView) openForm(b *builder, verb Verb, sink string) {
	b.add(`<form method="post" action="%v"><input type="hidden" name="pipeline" value="%v">`, verb, p.Name)
	if sink != "" {
		b.add(`<input type="hidden" name="sink" value="%v">`, sink)
	}
}

// title returns what an action is called: "replay lake of eth-logs".
func (a Action) title() string {
	if a.Sink == "" {
		return fmt.Sprintf("%s %s", a.Verb, a.Pipeline)
	}
	return fmt.Sprintf("%s %s of %s", a.Verb, a.Sink, a.Pipeline)
}

// writeOutcome writes what became of the last button. A screen reader reads it once, since it
// has the focus.
func (v visitor) writeOutcome(b *builder) {
	o := v.last
	if o.at.IsZero() {
		return
	}
	focus := markup(` autofocus`)
	if o.shown {
		focus = ""
	}
	how, level := "done", status.Healthy
	if o.err != "" {
		how, level = "not done", status.Failed
	}
	b.add(`<div id="outcome" class="answer %v" role="status" tabindex="-1"%v><p class="level">%v, %v: %v</p>`,
		level, focus, o.action.title(), o.at.UTC().Format("15:04:05 UTC"), how)
	b.paragraphs(o.said)
	b.paragraphs(o.err)
	b.add("</div>\n")
}

// session returns where to sign in, or out.
func (v visitor) session() markup {
	switch {
	case v.signedIn:
		return `<noscript><p><a href="./">Look again</a></p></noscript>` +
			`<form method="post" action="sign-out"><button>Sign out</button></form>`
	case v.steers:
		return `<p><a href="sign-in">Sign in</a> to retry, replay, pause and resume.</p>`
	default:
		return ""
	}
}

// paragraphs writes lines, each as a paragraph.
func (b *builder) paragraphs(text string) {
	for line := range strings.Lines(text) {
		b.add("<p>%v</p>\n", strings.TrimSpace(line))
	}
}

// notice is a page that says or asks one thing.
type notice struct {
	title string
	body  markup
}

// signInNotice asks for the token, in a form: it is in no address, and so in no history and no
// log.
func signInNotice(why string) notice {
	var b builder
	b.paragraphs(why)
	b.add(`<form method="post" action="sign-in"><input name="username" value="ampipe" autocomplete="username" hidden>` +
		`<label for="token">Token</label> ` + // the name is for a password manager
		`<input id="token" type="password" name="token" autocomplete="current-password" required autofocus> <button>Sign in</button></form>` +
		`<p>It is what page.token in the configuration of ampipe says.</p><p><a href="./">Back to the page</a></p>`)
	return notice{"Sign in", markup(b.String())}
}

// confirmNotice asks before something is removed.
func confirmNotice(a Action, said string) notice {
	var b builder
	b.paragraphs(said)
	b.add(`<p>Until they are loaded again these blocks are missing from the destination.</p><form method="post" action="%v">`, a.Verb)
	for _, field := range [][2]string{{"pipeline", a.Pipeline}, {"sink", a.Sink}, {"blocks", a.Blocks}, {"confirmed", "yes"}} {
		b.add(`<input type="hidden" name="%v" value="%v">`, field[0], field[1])
	}
	b.add(`<button>Replay</button></form><p><a href="./">Do nothing</a></p>`)
	return notice{fmt.Sprintf("Replay %s of %s?", a.Sink, a.Pipeline), markup(b.String())}
}

func writeNotice(w http.ResponseWriter, code int, n notice) {
	var b builder
	b.head(n.title + " – ampipe")
	b.add("</head>\n<body class=\"notice\">\n<main><h1>%v</h1>\n%v</main>\n</body>\n</html>\n", n.title, n.body)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, b.String()) // the browser has gone if this fails
}
