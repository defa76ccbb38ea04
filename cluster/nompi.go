//go:build !mpi || !linux

package cluster

import "time"

func join(launch Launch, _ time.Duration) (*Group, error) { return nil, &NoMPIError{launch} }
