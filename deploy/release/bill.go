package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// product is the module that is released.
const product = "github.com/ampipe/ampipe"

// writeBill writes a platform's bill of materials, in CycloneDX's JSON: the commands
// with the checksums of their files, and the modules that each of them has linked, as
// the build information in these files says.
func (r *release) writeBill(platform, bin string, known []software) error {
	licences := map[string][]string{}
	for _, s := range known {
		licences[s.name] = s.licences()
	}
	components := map[string]cdx.Component{}
	var commands []string
	var dependencies []cdx.Dependency
	serial := sha256.New()
	for _, c := range r.commands {
		path := filepath.Join(bin, c)
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read the build information of %s: %w", c, err)
		}
		sum, err := sumOf(path)
		if err != nil {
			return err
		}
		fmt.Fprintln(serial, c, sum)
		command := cdx.Component{
			BOMRef: "command:" + c, Type: cdx.ComponentTypeApplication, Name: c, Version: r.version,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}},
		}
		components[command.BOMRef] = command
		commands = append(commands, command.BOMRef)
		var uses []string
		std := &debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}
		for _, m := range append(info.Deps, std) {
			if m.Replace != nil {
				m = m.Replace
			}
			component, err := componentOf(m, licences[m.Path])
			if err != nil {
				return err
			}
			components[component.BOMRef] = component
			uses = append(uses, component.BOMRef)
		}
		slices.Sort(uses)
		dependencies = append(dependencies, cdx.Dependency{Ref: command.BOMRef, Dependencies: &uses})
	}
	return r.encodeBill(platform, components, append(dependencies, cdx.Dependency{Ref: r.purl(), Dependencies: &commands}), serial.Sum(nil))
}

func (r *release) purl() string { return "pkg:golang/" + product + "@" + r.version }

// componentOf describes a module.
func componentOf(m *debug.Module, licences []string) (cdx.Component, error) {
	purl := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	c := cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl, Scope: cdx.ScopeRequired,
	}
	if len(licences) == 0 {
		return c, fmt.Errorf("%s is linked, and no licence of it is known", m.Path)
	}
	var choices cdx.Licenses
	for _, id := range licences {
		choices = append(choices, cdx.LicenseChoice{License: &cdx.License{ID: id}})
	}
	c.Licenses = &choices
	if m.Path == "std" {
		return c, nil
	}
	// Go's own sum of a module: a SHA-256 of the list of the files' SHA-256.
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(sum) != sha256.Size {
		return c, fmt.Errorf("%s %s has no checksum in the build information: it was replaced by a folder", m.Path, m.Version)
	}
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	return c, nil
}

func (r *release) encodeBill(
	platform string, components map[string]cdx.Component, dependencies []cdx.Dependency, serial []byte,
) (err error) {
	bill := cdx.NewBOM()
	serial[6], serial[8] = serial[6]&0x0f|0x80, serial[8]&0x3f|0x80 // a UUID of its own scheme (version 8)
	bill.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", serial[:4], serial[4:6], serial[6:8], serial[8:10], serial[10:16])
	bill.Metadata = &cdx.Metadata{
		Timestamp: r.commit.Format(time.RFC3339),
		Component: &cdx.Component{
			BOMRef: r.purl(), Type: cdx.ComponentTypeApplication, Name: "ampipe", Version: r.version, PackageURL: r.purl(),
			Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
			Properties: &[]cdx.Property{{Name: "platform", Value: platform}},
		},
	}
	list := make([]cdx.Component, 0, len(components))
	for _, ref := range slices.Sorted(maps.Keys(components)) {
		list = append(list, components[ref])
	}
	bill.Components, bill.Dependencies = &list, &dependencies
	out, err := os.Create(filepath.Join(r.out, r.name(platform)+".cdx.json"))
	if err != nil {
		return err
	}
	defer func() {
		if closed := out.Close(); err == nil {
			err = closed
		}
	}()
	return cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bill, cdx.SpecVersion1_6)
}
