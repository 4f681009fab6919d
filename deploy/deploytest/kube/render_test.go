package kube

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// The places of what is tested.
const (
	repository = "../../.."
	overlays   = "../../kubernetes/overlays"
	chart      = "../../helm/ampipe"
)

// overlayNames are the overlays that are shipped.
var overlayNames = []string{"single-node", "production", "production-keda", "production-hpa"}

// kustomized returns the objects of an overlay, as "kubectl apply -k" would apply them.
func kustomized(t *testing.T, overlay string) *objects {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(overlays, overlay))
	if err != nil {
		t.Fatalf("kustomize build %s: %v", overlay, err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, overlay, text)
}

// rendered returns the objects of the chart with some values.
func rendered(t *testing.T, name string, values map[string]any) *objects {
	t.Helper()
	text, err := render(values)
	if err != nil {
		t.Fatalf("helm template with %s: %v", name, err)
	}
	return decode(t, name, text)
}

// example returns the values of a file of the chart.
func example(t *testing.T, file string) map[string]any {
	t.Helper()
	return readYAML(t, filepath.Join(chart, file))
}

func readYAML(t *testing.T, path string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseYAML(t, path, string(text))
}

func parseYAML(t *testing.T, name, text string) map[string]any {
	t.Helper()
	var values map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return values
}

// render does what "helm template ampipe --namespace ampipe" does, of which the chart
// uses little: templates with sprig's functions and a few of Helm's own. Helm's engine
// itself brings Kubernetes' client along, which takes minutes to compile.
func render(values map[string]any) ([]byte, error) {
	all, err := withDefaults(values)
	if err != nil {
		return nil, err
	}
	root := template.New("chart").Option("missingkey=zero")
	root.Funcs(functions(root))
	files, err := filepath.Glob(filepath.Join(chart, "templates/*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if _, err := root.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return nil, err
		}
	}
	var meta map[string]any
	if err := readInto(filepath.Join(chart, "Chart.yaml"), &meta); err != nil {
		return nil, err
	}
	data := map[string]any{
		"Values":  all,
		"Chart":   map[string]any{"Name": meta["name"], "Version": meta["version"], "AppVersion": meta["appVersion"]},
		"Release": map[string]any{"Name": "ampipe", "Namespace": "ampipe", "Service": "Helm"},
		"Files":   chartFiles{},
	}
	var out bytes.Buffer
	for _, file := range files {
		var one bytes.Buffer
		if err := root.ExecuteTemplate(&one, filepath.Base(file), data); err != nil {
			return nil, err
		}
		if strings.HasSuffix(file, ".yaml") {
			out.WriteString("\n---\n" + strings.ReplaceAll(one.String(), "<no value>", ""))
		}
	}
	return out.Bytes(), nil
}

// chartFiles is .Files of a template.
type chartFiles struct{}

// Get returns a file of the chart, and nothing if there is none, as Helm does.
func (chartFiles) Get(name string) string {
	text, err := os.ReadFile(filepath.Join(chart, name))
	if err != nil {
		return ""
	}
	return string(text)
}

func functions(root *template.Template) template.FuncMap {
	f := sprig.TxtFuncMap()
	delete(f, "env") // as Helm does
	delete(f, "expandenv")
	f["include"] = func(name string, data any) (string, error) {
		var out strings.Builder
		err := root.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	f["required"] = func(message string, value any) (any, error) {
		if value == nil || value == "" {
			return nil, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	f["toYaml"] = func(value any) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	f["fromYaml"] = func(text string) (map[string]any, error) {
		values := map[string]any{}
		err := yaml.Unmarshal([]byte(text), &values)
		return values, err
	}
	return f
}

// withDefaults lays values over those of the chart and checks them by its schema.
func withDefaults(values map[string]any) (map[string]any, error) {
	all := map[string]any{}
	if err := readInto(filepath.Join(chart, "values.yaml"), &all); err != nil {
		return nil, err
	}
	merge(all, values)
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(chart, "values.schema.json"))
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return nil, err
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		return nil, err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return all, schema.Validate(instance)
}

// merge lays values over others. A null takes away, as in Helm.
func merge(into, values map[string]any) {
	for key, value := range values {
		below, isMap := into[key].(map[string]any)
		above, areMaps := value.(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isMap && areMaps:
			below = maps.Clone(below)
			merge(below, above)
			into[key] = below
		default:
			into[key] = value
		}
	}
}

func readInto(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.UnmarshalStrict(text, into)
}

// TestChartFiles holds that what the chart has of deploy/nats is what is there.
func TestChartFiles(t *testing.T) {
	t.Parallel()
	copies, err := fs.Glob(os.DirFS(chart), "files/*")
	if err != nil || len(copies) == 0 {
		t.Fatalf("no files in the chart: %v", err)
	}
	for _, file := range copies {
		original := filepath.Join(repository, "deploy/nats", filepath.Base(file))
		want, err := os.ReadFile(original)
		if err != nil {
			t.Fatal(err)
		}
		if got := (chartFiles{}).Get(file); got != string(want) {
			t.Errorf("%s differs from deploy/nats: copy it again", file)
		}
	}
	if !slices.Contains(copies, "files/permissions.conf") {
		t.Error("the chart has no permissions.conf")
	}
}
