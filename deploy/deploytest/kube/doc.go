// Package kube tests deploy/kubernetes and deploy/helm/ampipe: every manifest that they
// make is decoded strictly, checked against rules, and its processes are started as it
// says.
package kube
