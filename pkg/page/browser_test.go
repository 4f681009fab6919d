package page_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/state"
)

// browser is a Chromium without a window, of which one tab is driven by the DevTools
// protocol: JSON messages, each ended by a zero byte, over two pipes.
type browser struct {
	*testing.T
	to      *os.File
	session string

	mu       sync.Mutex
	last     int
	answers  map[int]chan reply
	troubles []string // what the console of the tab says
}

type reply struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// newBrowser starts one; it ends with the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program := os.Getenv("AMPIPE_TEST_CHROMIUM")
	if program == "" {
		t.Skip("AMPIPE_TEST_CHROMIUM is not set: no browser (scripts/chromium binary names one)")
	}
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c := exec.CommandContext(ctx, program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	c.ExtraFiles = []*os.File{theirs, ours} // 3 and 4, as the protocol has it
	c.WaitDelay = 5 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	b := &browser{T: t, to: to, answers: map[int]chan reply{}}
	_, _ = theirs.Close(), ours.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(bufio.NewReader(from))
	}()
	t.Cleanup(func() {
		defer time.AfterFunc(5*time.Second, cancel).Stop()
		_, _ = to.WriteString(`{"id":0,"method":"Browser.close"}` + "\x00") // else it is killed
		_ = c.Wait()
		cancel()
		_, _ = to.Close(), from.Close()
		<-read
	})
	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// read takes answers and events until the browser ends.
func (b *browser) read(from *bufio.Reader) {
	for {
		text, err := from.ReadBytes(0)
		if err != nil {
			return
		}
		var r reply
		if err := json.Unmarshal(text[:len(text)-1], &r); err != nil {
			b.Error(err)
			return
		}
		b.mu.Lock()
		if r.Method == "Runtime.exceptionThrown" || r.Method == "Log.entryAdded" {
			b.troubles = append(b.troubles, string(r.Params))
		}
		if answer := b.answers[r.ID]; answer != nil && r.Method == "" {
			answer <- r
		}
		b.mu.Unlock()
	}
}

// call calls a method of the protocol, and decodes its result.
func (b *browser) call(method string, params any, result any) {
	b.Helper()
	b.mu.Lock()
	b.last++
	id, answer := b.last, make(chan reply, 1)
	b.answers[id] = answer
	b.mu.Unlock()
	message := map[string]any{"id": id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.Fatal(err)
	}
	select {
	case r := <-answer:
		if r.Error != nil {
			b.Fatalf("%s: %s", method, r.Error.Message)
		}
		if result == nil {
			return
		}
		if err := json.Unmarshal(r.Result, result); err != nil {
			b.Fatal(err)
		}
	case <-time.After(time.Minute):
		b.Fatalf("%s: the browser does not answer", method)
	}
}

// evaluate returns the value of an expression in the tab, as text.
func (b *browser) evaluate(expression string) string {
	b.Helper()
	var r struct {
		Result struct{ Value any }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &r)
	return fmt.Sprint(r.Result.Value)
}

// until waits until an expression in the tab has a value.
func (b *browser) until(what, expression, want string) {
	b.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got := b.evaluate(expression)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: %s is %q, want %q", what, expression, got, want)
		}
	}
}

// screen sets the size of the screen, and whether it is dark.
func (b *browser) screen(wide, high int, scheme string) {
	b.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": wide < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// photograph writes the whole page to the folder AMPIPE_TEST_SCREENSHOTS, for a person to
// look at.
func (b *browser) photograph(name string) {
	b.Helper()
	folder := os.Getenv("AMPIPE_TEST_SCREENSHOTS")
	if folder == "" {
		return
	}
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	picture, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.Error(err)
	}
}

// TestInABrowser opens the page: what is drawn, on a phone, too, a live update while a table
// has the focus, and what is said when the process has gone.
func TestInABrowser(t *testing.T) {
	b := newBrowser(t)
	before := facts(1000)
	before.Sinks[1].Report.Coverage.Remove(before.Spec.History)
	s := serve(t, viewOf(before))
	b.screen(1280, 900, "light")
	b.call("Page.navigate", map[string]any{"url": s.url + "/"}, nil)
	b.until("both charts are drawn", `document.querySelectorAll(".charts canvas").length`, "2")
	b.until("the title", "document.title", "degraded – ampipe")
	b.until("the answer", `document.querySelector("h1").textContent`, viewOf(before).Sentence)
	b.photograph("desktop")
	b.screen(390, 844, "dark")
	b.until("on a phone nothing is cut off", "document.documentElement.scrollWidth", "390")
	b.until("it is dark", "getComputedStyle(document.body).backgroundColor", "rgb(14, 17, 22)")
	b.photograph("phone-dark")
	b.screen(1280, 900, "dark")
	b.photograph("desktop-dark")
	b.screen(390, 844, "light")
	b.photograph("phone")

	b.evaluate(`document.getElementById("p0-processes-table").focus()`)
	after := facts(1000)
	for i := range after.Parts {
		after.Parts[i].State, after.Parts[i].Error = state.PartitionDone, ""
	}
	after.Processes[0].PID = 4711
	s.show(viewOf(after))
	b.until("a process has changed", `document.querySelector("#p0-processes-table td:nth-child(4)").textContent`, "4711")
	b.until("the table has the focus that it had", "document.activeElement.id", "p0-processes-table")
	b.until("there are no failed partitions", `document.getElementById("p0-failed").textContent`, "")
	b.until("the title after that", "document.title", "healthy – ampipe")
	b.until("the change is said", `document.getElementById("said").textContent.includes("healthy")`, "true")
	b.until("nothing is lost", `document.getElementById("lost").hidden`, "true")
	b.mu.Lock()
	if len(b.troubles) > 0 {
		t.Errorf("the browser says %q", b.troubles)
	}
	b.mu.Unlock()
	s.stop()
	b.until("the process has gone", `document.getElementById("lost").hidden`, "false")
}
