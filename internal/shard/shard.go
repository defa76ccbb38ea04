// Package shard divides a long list among processes that know nothing of each other, and puts together what they wrote.
package shard

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Shard is one of Of stretches of a list, counted from 0. Each begins where the one before ends, so that together, in
// their order, they are the list.
type Shard struct{ Index, Of int }

// most bounds Of.
const most = 1 << 20

// String is how a shard is named on a command line: 3/64.
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Of) }

// Range is the shard's stretch of a list of n. Two shards differ by one at most; of more shards than n some are empty.
func (s Shard) Range(n int) (from, to int) {
	at := func(i int) int { return int(int64(i) * int64(n) / int64(s.Of)) }
	return at(s.Index), at(s.Index + 1)
}

// Path is where the shard of an output goes: of faces.npy faces.shard-03-of-64.npy, by another ending with that.
func (s Shard) Path(output, ending string) string {
	return fmt.Sprintf("%s%0*d-of-%d%s", begins(output), len(strconv.Itoa(s.Of-1)), s.Index, s.Of, ending)
}

// begins is what the paths of an output's shards begin with.
func begins(output string) string {
	return strings.TrimSuffix(output, filepath.Ext(output)) + ".shard-"
}

// The variables that tell a process of an array which it is, counted from 0: of Slurm (sbatch --array), and of a
// Kubernetes Job whose completionMode is Indexed.
const (
	slurmTask = "SLURM_ARRAY_TASK_ID"
	jobIndex  = "JOB_COMPLETION_INDEX"
)

// Parse reads "3/64"; or "auto/64", whose first number is what the environment tells, as os.Getenv does; or "auto",
// where it tells both, as in a Slurm array. source names the variable that was asked; it is empty where none was.
func Parse(text string, env func(string) string) (s Shard, source string, err error) {
	if text == "auto" {
		return ofArray(env)
	}
	first, of, two := strings.Cut(text, "/")
	if s.Of, err = strconv.Atoi(of); !two || err != nil || s.Of < 1 || s.Of > most {
		return s, "", fmt.Errorf("%q is no shard: want i/n, as 0/64 to 63/64, or auto/64 in an array of jobs", text)
	}
	if first != "auto" {
		if s.Index, err = strconv.Atoi(first); err != nil || s.Index < 0 || s.Index >= s.Of {
			return s, "", fmt.Errorf("%q is no shard: of %d the first is 0/%[2]d and the last %d/%[2]d", text, s.Of, s.Of-1)
		}
		return s, "", nil
	}
	if source, first, err = index(env); err != nil {
		return s, "", err
	}
	if s.Index, err = strconv.Atoi(first); err != nil || s.Index < 0 || s.Index >= s.Of {
		return s, "", fmt.Errorf("%s is %q, and the shards of auto/%d are counted from 0 to %d", source, first, s.Of, s.Of-1)
	}
	return s, source, nil
}

// index is what the environment tells.
func index(env func(string) string) (source, value string, err error) {
	task, completion := env(slurmTask), env(jobIndex)
	switch {
	case task == "" && completion == "":
		return "", "", fmt.Errorf("neither %s nor %s is set, which tell the shard of an array: want i/n", slurmTask, jobIndex)
	case task == "":
		return jobIndex, completion, nil
	case completion != "" && completion != task:
		return "", "", fmt.Errorf("%s is %s and %s %s: which of them is meant? want i/n", slurmTask, task, jobIndex,
			completion)
	}
	return slurmTask, task, nil
}

// ofArray is the shard that Slurm's variables tell alone: the tasks of an array without gaps, whatever it begins with.
func ofArray(env func(string) string) (s Shard, source string, err error) {
	source, value, err := index(env)
	switch {
	case err != nil:
		return s, "", err
	case source == jobIndex:
		return s, "", fmt.Errorf("%s does not tell of how many: want auto/n, n being the Job's completions", jobIndex)
	}
	var told [4]int
	for i, name := range []string{slurmTask, "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_COUNT"} {
		if told[i], err = strconv.Atoi(env(name)); err != nil {
			return s, "", fmt.Errorf("%s is %q, no number: want auto/n, n being the tasks of the array", name, env(name))
		}
	}
	id, first, last, count := told[0], told[1], told[2], told[3]
	switch {
	case count < 2: // perhaps one of many, which is repeated
		return s, "", fmt.Errorf("an array of one task (%s %s) may be one of many that is repeated: want auto/n, n being "+
			"the tasks of the whole array", source, value)
	case count > most || last-first != count-1 || id < first || id > last:
		return s, "", fmt.Errorf("an array of %d tasks from %d to %d has gaps: want auto/n, n being the tasks of the whole "+
			"array", count, first, last)
	}
	return Shard{id - first, count}, source, nil
}
