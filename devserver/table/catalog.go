package table

import (
	"fmt"
	"slices"
	"strings"
)

// Catalog is the set of datasets a server offers. It must not be changed once a
// server uses it.
type Catalog struct{ datasets []*Dataset }

// Dataset is a named group of tables over one network.
type Dataset struct {
	Ref     Ref
	Network string
	Tables  map[string]*Table
}

// Ref names a dataset: [namespace/]name[@revision] (AP 4.2).
type Ref struct{ Namespace, Name, Revision string }

// ParseRef reads a dataset reference; a missing namespace is "_", a missing
// revision "latest".
func ParseRef(text string) (Ref, error) {
	ref := Ref{Namespace: "_", Name: text, Revision: "latest"}
	if namespace, name, found := strings.Cut(ref.Name, "/"); found {
		ref.Namespace, ref.Name = namespace, name
	}
	if name, revision, found := strings.Cut(ref.Name, "@"); found {
		ref.Name, ref.Revision = name, revision
	}
	if ref.Namespace == "" || ref.Name == "" || ref.Revision == "" {
		return Ref{}, fmt.Errorf("dataset %q is not of the form [namespace/]name[@revision]", text)
	}
	return ref, nil
}

// String returns the full form, namespace/name@revision.
func (r Ref) String() string { return r.Namespace + "/" + r.Name + "@" + r.Revision }

// Add puts a dataset into the catalogue. Two datasets may differ by revision
// only; the one added last is then the latest.
func (c *Catalog) Add(d *Dataset) error {
	if len(d.Tables) == 0 {
		return fmt.Errorf("dataset %s has no tables", d.Ref)
	}
	if d.Network == "" {
		return fmt.Errorf("dataset %s has no network", d.Ref)
	}
	if slices.ContainsFunc(c.datasets, func(have *Dataset) bool { return have.Ref == d.Ref }) {
		return fmt.Errorf("dataset %s is there twice", d.Ref)
	}
	c.datasets = append(c.datasets, d)
	return nil
}

// Find returns a table as a query names it: the schema part is a dataset
// reference. "latest" and "dev" are the dataset added last under that name; any
// other revision must match exactly.
func (c *Catalog) Find(schema, name string) (*Dataset, *Table, bool) {
	ref, err := ParseRef(schema)
	if err != nil {
		return nil, nil, false
	}
	for _, d := range slices.Backward(c.datasets) {
		named := d.Ref.Namespace == ref.Namespace && d.Ref.Name == ref.Name
		if named && slices.Contains([]string{"latest", "dev", d.Ref.Revision}, ref.Revision) {
			t := d.Tables[name]
			return d, t, t != nil
		}
	}
	return nil, nil, false
}
