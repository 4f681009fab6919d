package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
)

func TestCatch(t *testing.T) {
	if err := fault.Catch(func() error { return errBroken }); err != errBroken || fault.Stack(err) != "" {
		t.Errorf("an error came as %v", err)
	}
	var values []int
	for name, op := range map[string]func() error{
		"a runtime error": func() error { _ = values[len(values)]; return nil },
		"an error":        func() error { panic(errBroken) },
		"lines":           func() error { panic("one\ntwo") },
	} {
		err := fmt.Errorf("work: %w", fault.Catch(op))
		if fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%s: class of %v is %v", name, err, fault.Of(err))
		}
		if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "panic: ") {
			t.Errorf("%s: %q is not one line that names the panic", name, err)
		}
		if !strings.Contains(fault.Stack(err), "panic_test.go") {
			t.Errorf("%s: the stack does not show where: %s", name, fault.Stack(err))
		}
	}
	if err := fault.Catch(func() error { panic(errBroken) }); !errors.Is(err, errBroken) {
		t.Errorf("%v hides its cause", err)
	}
}
