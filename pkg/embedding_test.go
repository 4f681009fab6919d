package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ofTheProgram are the functions and variables that concern the whole process. They are its
// program's: nothing below pkg uses them, so that a program can run pipelines beside
// whatever else it does. "*" stands for all of a package.
var ofTheProgram = map[string][]string{
	"os/signal": {"*"},
	"os":        {"Exit", "Setenv", "Unsetenv", "Clearenv", "Chdir", "Stdout", "Stderr", "Stdin", "Args"},
	"log":       {"*"},
	"log/slog":  {"SetDefault", "SetLogLoggerLevel", "Default"},
	"fmt":       {"Print", "Println", "Printf"},
	"flag":      {"Parse", "CommandLine"},
	"runtime":   {"GOMAXPROCS", "Goexit"},
	"syscall":   {"Exit", "Kill", "Setrlimit"},
	"net/http":  {"Handle", "HandleFunc", "DefaultServeMux", "DefaultTransport", "ListenAndServe"},

	"runtime/debug":                                  {"SetGCPercent", "SetMemoryLimit", "SetMaxThreads", "SetMaxStack", "SetPanicOnFault"},
	"go.opentelemetry.io/otel":                       {"*"},
	"github.com/rs/zerolog":                          {"SetGlobalLevel", "DefaultContextLogger", "ErrorHandler", "TimeFieldFormat"},
	"github.com/rs/zerolog/log":                      {"*"},
	"github.com/prometheus/client_golang/prometheus": {"MustRegister", "Register", "DefaultRegisterer", "DefaultGatherer"},
}

// programs are the files that are the program of somebody: a command around a destination
// of others, which reads the command line and prints.
var programs = map[string][]string{
	"pipeline/command.go": {"Args", "Stdout", "Stderr"},
}

// TestNothingIsOfTheWholeProcess: no exit, no signals, no settings of the process and no
// state of packages. Those are the program's that runs a pipeline.
func TestNothingIsOfTheWholeProcess(t *testing.T) {
	variables := map[string][]string{} // of each package
	files := map[string]*ast.File{}
	positions := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(path)
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || testSupport.MatchString(name) {
			return err
		}
		file, err := parser.ParseFile(positions, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files[name] = file
		for _, d := range file.Decls {
			if g, is := d.(*ast.GenDecl); is && g.Tok == token.VAR {
				for _, s := range g.Specs {
					for _, n := range s.(*ast.ValueSpec).Names {
						variables[filepath.Dir(path)] = append(variables[filepath.Dir(path)], n.Name)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("looked at %d files", len(files))
	}
	for name, file := range files {
		for _, found := range processWide(file, programs[name], variables[filepath.Dir(filepath.FromSlash(name))]) {
			t.Errorf("%s: %s", positions.Position(found.Pos()), found.why)
		}
	}
}

// finding is a place in the code, and what is wrong there.
type finding struct {
	ast.Node
	why string
}

// processWide returns what of a file concerns the whole process. granted are names that
// the file may use, variables those of its package.
func processWide(file *ast.File, granted, variables []string) []finding {
	imported := map[string]string{} // by the name in the file
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value) // it was parsed
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported[name] = path
	}
	var all []finding
	for _, d := range file.Decls {
		function, is := d.(*ast.FuncDecl)
		if is && function.Recv == nil && function.Name.Name == "init" {
			all = append(all, finding{d, "a package does nothing when it is imported"})
		}
		local := namesDeclared(d)
		changed := func(to ast.Expr) {
			name := root(to)
			if name != "_" && !local[name] && slices.Contains(variables, name) {
				all = append(all, finding{to, "the variable " + name + " of the package is changed"})
			}
		}
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, to := range n.Lhs {
						changed(to)
					}
				}
			case *ast.IncDecStmt:
				changed(n.X)
			case *ast.SelectorExpr:
				of := ""
				if x, is := n.X.(*ast.Ident); is && !local[x.Name] {
					of = imported[x.Name]
				}
				names := ofTheProgram[of]
				if (slices.Contains(names, n.Sel.Name) || slices.Contains(names, "*")) && !slices.Contains(granted, n.Sel.Name) {
					all = append(all, finding{n, of + "." + n.Sel.Name + " is the program's"})
				}
			}
			return true
		})
	}
	return all
}

// root returns the name of the variable that an expression is, or is a part of.
func root(e ast.Expr) string {
	for {
		switch at := e.(type) {
		case *ast.SelectorExpr:
			e = at.X
		case *ast.IndexExpr:
			e = at.X
		case *ast.Ident:
			return at.Name
		default:
			return ""
		}
	}
}

// namesDeclared returns the names that a function declares anywhere in it. The variables of
// the package are declared outside.
func namesDeclared(d ast.Decl) map[string]bool {
	names := map[string]bool{}
	if _, is := d.(*ast.FuncDecl); !is {
		return names
	}
	add := func(e ast.Expr) {
		if name, is := e.(*ast.Ident); is {
			names[name.Name] = true
		}
	}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, to := range n.Lhs {
					add(to)
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key)
				add(n.Value)
			}
		}
		return true
	})
	return names
}

// TestProcessWideIsSeen holds the test itself to what it is to find.
func TestProcessWideIsSeen(t *testing.T) {
	const source = `package p
import ("os"; sig "os/signal"; "log"; "sync")
var count int
var table = map[string]int{}
var once sync.Once
func init() {}
func wrong() { os.Exit(1); sig.Notify(nil); log.Fatal(); count++; count = 2; table["a"] = 1; println(os.Args) }
func right(count int) { count++; table := table; table = nil; os.Getenv("A"); once.Do(nil) }
`
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, found := range processWide(file, []string{"Args"}, []string{"count", "table", "once"}) {
		lines = append(lines, positions.Position(found.Pos()).Line)
	}
	if want := []int{6, 7, 7, 7, 7, 7, 7}; !slices.Equal(lines, want) {
		t.Errorf("found something in the lines %v, want %v", lines, want)
	}
}
