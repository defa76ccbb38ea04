package cluster

import "time"

// Open joins the job that a launcher has started this process in. A process by itself gets nil, which is a Group of
// one. A rank that nothing was heard of for timeout ends the job; 0 waits for ever. In a build without MPI a job of
// several processes is a *NoMPIError.
func Open(timeout time.Duration) (*Group, error) {
	launch, several := Launched()
	if !several {
		return nil, nil
	}
	return join(launch, timeout)
}
