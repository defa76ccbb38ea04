//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// container is what a manifest starts.
type container struct {
	Command []string `yaml:"command"`
	Args    []string `yaml:"args"`
	Env     []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
}

// manifest is the part of a manifest's fields that says what is started; all of them are checked against their types
// elsewhere.
type manifest struct {
	Kind string `yaml:"kind"`
	Spec struct {
		Completions int `yaml:"completions"`
		Template    struct {
			Spec struct {
				Containers []container `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
		Trainer container `yaml:"trainer"`
	} `yaml:"spec"`
}

func readManifest(t *testing.T, name string) manifest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// start starts what a container does, its volume /data being a folder and its image's programs those of the path.
func (c container) start(t *testing.T, data string, env ...string) (stdout, stderr string) {
	t.Helper()
	line := append(append([]string(nil), c.Command...), c.Args...)
	for i, word := range line {
		line[i] = strings.ReplaceAll(word, "/data", data)
	}
	program, err := exec.LookPath(filepath.Base(line[0]))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, line[1:]...)
	cmd.Env = append(os.Environ(), env...)
	for _, v := range c.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+strings.ReplaceAll(v.Value, "/data", data))
	}
	return output(t, cmd)
}

func output(t *testing.T, cmd *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, &out, &faults)
	}
	return out.String(), faults.String()
}

// volume is a folder as the manifests' claim holds it.
func volume(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	weights, err := os.ReadFile(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "weights.safetensors"), weights, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "out"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Dir(clothes(t, n)[0]), filepath.Join(dir, "pictures")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestIndexedJob: the pods of deploy/kubernetes/shards.yaml, and then that of join.yaml, write what one run writes.
func TestIndexedJob(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short: a process for each shard takes a minute under the race detector")
	}
	data := volume(t, 20)
	job, join := readManifest(t, "kubernetes/shards.yaml"), readManifest(t, "kubernetes/join.yaml")
	if job.Spec.Completions < 2 || len(job.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%+v", job)
	}
	for i := range job.Spec.Completions {
		_, stderr := job.Spec.Template.Spec.Containers[0].start(t, data, fmt.Sprintf("JOB_COMPLETION_INDEX=%d", i))
		want := fmt.Sprintf("vggo: shard %d/%d, as JOB_COMPLETION_INDEX tells\n", i, job.Spec.Completions)
		if stderr != want {
			t.Fatalf("pod %d says %q, want %q", i, stderr, want)
		}
	}
	join.Spec.Template.Spec.Containers[0].start(t, data)
	want := filepath.Join(data, "want.json")
	code, _, stderr := vggo(t.Context(), "classify", filepath.Join(data, "pictures"), "--weights",
		filepath.Join(data, "weights.safetensors"), "--untimed", "-o", want)
	if code != 0 {
		t.Fatal(stderr)
	}
	same(t, filepath.Join(data, "out", "answers.json"), want)
}

// TestSlurmArray: the tasks of deploy/slurm/shards.sh, as its own lines ask Slurm for them, and then join.sh write what
// one run writes; so do tasks that are repeated.
func TestSlurmArray(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short: a process for each shard takes a minute under the race detector")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	data := volume(t, 20)
	script, err := filepath.Abs("../../deploy/slurm/shards.sh")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	var last, threads int
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "#SBATCH --array=0-%d", &last)
		fmt.Sscanf(line, "#SBATCH --cpus-per-task=%d", &threads)
	}
	if last == 0 || threads == 0 {
		t.Fatalf("the script asks for an array to %d of %d threads", last, threads)
	}
	args := []string{"features", "pictures", "--layer", "relu2_2", "--weights", "weights.safetensors", "-o", "f.npy"}
	task := func(i, first, last int) string {
		cmd := exec.Command(bash, append([]string{script}, args...)...)
		cmd.Dir = data
		cmd.Env = append(os.Environ(), fmt.Sprintf("SLURM_CPUS_PER_TASK=%d", threads),
			fmt.Sprintf("SLURM_ARRAY_TASK_ID=%d", i), fmt.Sprintf("SLURM_ARRAY_TASK_MIN=%d", first),
			fmt.Sprintf("SLURM_ARRAY_TASK_MAX=%d", last), fmt.Sprintf("SLURM_ARRAY_TASK_COUNT=%d", last-first+1))
		stdout, _ := output(t, cmd)
		return stdout
	}
	for i := range last + 1 {
		task(i, 0, last)
	}
	if said := task(5, 5, 5); !strings.HasPrefix(said, fmt.Sprintf("shard 5/%d: ", last+1)) ||
		!strings.Contains(said, "there already") {
		t.Errorf("a task that is repeated alone: %s", said)
	}
	join := exec.Command(bash, filepath.Join(filepath.Dir(script), "join.sh"), "features", "-o", "f.npy")
	join.Dir = data
	output(t, join)
	t.Chdir(data)
	if code, _, stderr := vggo(t.Context(), append(args[:len(args)-1:len(args)-1], "want.npy")...); code != 0 {
		t.Fatal(stderr)
	}
	same(t, "f.npy", "want.npy")
	same(t, "f.txt", "want.txt")
}

// TestTrainJob: what deploy/kubeflow/trainjob.yaml has mpirun start trains, and goes on when it is started again. The
// mpirun here starts one process; TestRanksOfMPI has real ones.
func TestTrainJob(t *testing.T) {
	data, bin := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(data, "pictures"), 0o777); err != nil {
		t.Fatal(err)
	}
	writeIDX(t, filepath.Join(data, "pictures"), "train", 64, 4)
	recipe := "model: 8x8x1:8/4\nbatch: 16\nepochs: 3\nhold_out: 16\noptimiser: {kind: sgd, rate: 0.1}\n" +
		"schedule: {kind: constant}\n"
	if err := os.WriteFile(filepath.Join(data, "recipe.yaml"), []byte(recipe), 0o666); err != nil {
		t.Fatal(err)
	}
	one := "#!/bin/sh\nshift 2 # --bind-to none\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "mpirun"), []byte(one), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	job := readManifest(t, "kubeflow/trainjob.yaml")
	first, _ := job.Spec.Trainer.start(t, data)
	second, _ := job.Spec.Trainer.start(t, data)
	if _, err := os.Stat(filepath.Join(data, "run", "model.safetensors")); err != nil {
		t.Errorf("%v\n%s", err, first)
	}
	if want := "is finished: all of its 9 steps were taken"; !strings.Contains(second, want) {
		t.Errorf("started again it does not say %q:\n%s", want, second)
	}
}

// same holds two files equal.
func same(t *testing.T, path, other string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || len(got) == 0 {
		t.Errorf("%s of %d bytes is not %s of %d", path, len(got), other, len(want))
	}
}
