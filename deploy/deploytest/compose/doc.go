// Package compose tests docker-compose.yml and deploy/Dockerfile on a machine without
// a container engine: the file is loaded by the library that Compose itself uses, and
// every service is then started as it says, in a file system of its own, on loopback.
package compose
