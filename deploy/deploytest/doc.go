// Package deploytest holds the tests of what is shipped in deploy/ and in
// docker-compose.yml. They need libraries that the product does not, so this is a
// module of its own, outside the workspace: run them by `make deploytest`.
package deploytest
