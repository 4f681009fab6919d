package page

import (
	"fmt"
	"html"
	"strings"

	"github.com/ampipe/ampipe/pkg/progress"
)

// markup is text that is HTML already. Everything else is escaped.
type markup string

// builder writes HTML. html/template would do the same, and would make each program that
// links it larger by a third: it calls methods by their names, so that the linker can leave
// none out.
type builder struct{ strings.Builder }

// add writes values into HTML, each as %v and, in an attribute, within quotation marks.
func (b *builder) add(format string, values ...any) {
	safe := make([]any, len(values))
	for i, v := range values {
		if already, ok := v.(markup); ok {
			safe[i] = string(already)
		} else {
			safe[i] = html.EscapeString(progress.Printable(fmt.Sprint(v)))
		}
	}
	fmt.Fprintf(b, format, safe...)
}

// next writes what to do next, if there is something.
func (b *builder) next(advice string) {
	if advice != "" {
		b.add(`<p class="next">Next: %v</p>`, advice)
	}
}

// table writes rows below a row of headings, as a region that scrolls by itself.
func (b *builder) table(id, title string, rows [][]string) {
	b.add(`<h3 id="%v-title">%v</h3>`, id, title)
	b.add(`<div class="scroll" tabindex="0" role="region" id="%v-table" aria-labelledby="%v-title"><table><thead><tr>`, id, id)
	for _, cell := range rows[0] {
		b.add(`<th scope="col">%v</th>`, cell)
	}
	b.add("</tr></thead><tbody>\n")
	for _, row := range rows[1:] {
		b.add(`<tr><th scope="row">%v</th>`, row[0])
		for _, cell := range row[1:] {
			b.add(`<td>%v</td>`, cell)
		}
		b.add("</tr>\n")
	}
	b.add("</tbody></table></div>")
}

// head opens a document.
func (b *builder) head(title string) {
	b.add(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%v</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="assets/page.css">
`, title)
}

// whole returns the page with its sections. Without the script it is loaded again by itself,
// but not below the hands of somebody who writes into a form.
func whole(m moment, v visitor) string {
	var b builder
	b.head("ampipe")
	class, again := "", markup(`<noscript><meta http-equiv="refresh" content="10"></noscript>`)
	if v.signedIn {
		class, again = "signed-in", ""
	}
	b.add(`<link rel="stylesheet" href="assets/uplot.css">
%v
<script src="assets/uplot.js" defer></script>
<script src="assets/page.js" defer></script>
</head>
<body data-version="%v" class="%v">
<main>
<p id="lost" role="alert" hidden>No answer from ampipe since <time id="heard"></time>: the process has ended, or cannot be reached.
What is below was true then.</p>
<p id="said" class="hidden" role="status"></p>
`, again, m.version, class)
	v.writeOutcome(&b)
	for _, one := range m.sections {
		b.add("<section id=\"%v\">%v</section>\n", one.ID, one.HTML)
	}
	b.add(`</main>
<footer>
%v
<p>All of it as text: <code>ampipe status</code>, <code>ampipe results</code>, <code>ampipe failed</code>.
Charts by <a href="assets/uplot.LICENSE">uPlot</a>.</p>
</footer>
</body>
</html>
`, v.session())
	return b.String()
}
