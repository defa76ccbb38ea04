// Package check holds the manifests below deploy against the types of the systems that read them, and against the
// program that they start. It is a module of its own, for tests alone: what it needs of Kubernetes is no part of vggo.
// No cluster is asked.
package check
