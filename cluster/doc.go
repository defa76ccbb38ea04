// Package cluster lets several processes, ranks, train one network together: a Group adds up their gradients and tells
// each what the others have.
//
// The ranks of a job are started by mpirun, and speak MPI (build tag mpi; without it there are the groups of goroutines
// that Local makes, for tests). MPI only moves values. They are added up here, in an order that depends on the number
// of ranks alone and on nothing that a library chooses: row 0 and 1, 2 and 3, then these sums, a tree. So a run repeats
// to the bit, with another MPI too.
package cluster
