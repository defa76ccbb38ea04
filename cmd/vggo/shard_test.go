package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vggo/vggo/vision"
)

// classFolders writes n of Fashion-MNIST's pictures into a folder of each class, and three files among them that are
// none.
func classFolders(t *testing.T, n int) (dir, labels string) {
	t.Helper()
	names := []string{"top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"}
	dir = filepath.Join(t.TempDir(), "data")
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	images, err := vision.ReadIDXFile(tinyImages)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		p, err := images.Picture(i % images.Len())
		if err != nil {
			t.Fatal(err)
		}
		for j := range p.Pix { // each picture is another one
			p.Pix[j] ^= byte(i / images.Len())
		}
		var file bytes.Buffer
		if err := png.Encode(&file, &image.Gray{Pix: p.Pix, Stride: p.W, Rect: image.Rect(0, 0, p.W, p.H)}); err != nil {
			t.Fatal(err)
		}
		text := file.Bytes()
		if i%(n/3) == 20 {
			text = text[:20]
		}
		if err := os.WriteFile(filepath.Join(dir, names[i%10], fmt.Sprintf("%03d.png", i)), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	labels = filepath.Join(filepath.Dir(dir), "labels.json")
	text, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(labels, text, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir, labels
}

// shardKilled holds the command line of a process that is to be killed, shardLooks after how many looks at its context.
const (
	shardKilled = "VGGO_TEST_SHARD"
	shardLooks  = "VGGO_TEST_SHARD_LOOKS"
)

// stuckContext says so on standard output when Err has been looked at a number of times, and never returns.
type stuckContext struct {
	context.Context
	left atomic.Int64
}

func (c *stuckContext) Err() error {
	switch left := c.left.Add(-1); {
	case left == 0:
		fmt.Println("stuck")
		fallthrough
	case left < 0:
		select {}
	}
	return nil
}

// killed runs a command line in a process of its own, which is killed after a number of looks at its context. It
// reports whether the process had not come to its end before.
func killed(t *testing.T, args []string, looks int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestShards$")
	cmd.Env = append(os.Environ(), shardKilled+"="+strings.Join(args, "\n"), fmt.Sprintf("%s=%d", shardLooks, looks))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var faults bytes.Buffer
	cmd.Stderr = &faults
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	for one := make([]byte, 1); !bytes.Contains(said.Bytes(), []byte("stuck")); {
		if _, err := out.Read(one); err != nil {
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v: %v\n%s%s", args, err, &said, &faults)
			}
			return false
		}
		said.Write(one)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	return true
}

// TestShards: what all shards of a command come to, one of them being killed again and again, is what one run of it
// writes and prints, to the byte, and so is its exit code; however many shards there are.
func TestShards(t *testing.T) {
	if args := os.Getenv(shardKilled); args != "" {
		looks := 0
		fmt.Sscan(os.Getenv(shardLooks), &looks)
		ctx := &stuckContext{Context: context.Background()}
		ctx.left.Store(int64(looks))
		os.Exit(run(ctx, strings.Split(args, "\n"), os.Stdout, os.Stderr))
	}
	if testing.Short() {
		t.Skip("with -short: its processes take the race detector half a minute")
	}
	data, labels := classFolders(t, 203)
	weights, err := filepath.Abs(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	model := []string{"--weights", weights, "--labels", labels, "--batch", "4"}
	features := slices.Concat([]string{"features", data, "--layer", "relu2_2", "--l2"}, model)
	classify := slices.Concat([]string{"classify", data, "--top", "3"}, model)
	eval := slices.Concat([]string{"eval", data}, model)
	dense := slices.Concat([]string{"eval", data, "--dense", "--scales", "28,32"}, model)
	for _, c := range []struct {
		args    []string
		outputs []string // the first is that of the shards
		of      int
	}{
		{features, []string{"out.npy"}, 64},
		{classify, []string{"out.json", "out.txt"}, 64},
		{eval, []string{"out.json", "out.txt"}, 64},
		{dense, []string{"out.json"}, 3},
		{features, []string{"out.npy"}, 2},
		{classify, []string{"out.json"}, 1},
	} {
		t.Run(fmt.Sprintf("%s/%d", c.args[0], c.of), func(t *testing.T) {
			whole, shards := t.TempDir(), t.TempDir()
			t.Chdir(shards)
			shard := func(i int) []string {
				return append(slices.Clone(c.args), "--shard", fmt.Sprintf("%d/%d", i, c.of), "-o", c.outputs[0])
			}
			victim, kills := c.of/3, 0
			for looks := 1; killed(t, shard(victim), looks); looks += 1 + looks/2 {
				if left, err := filepath.Glob("*.jsonl"); err != nil || len(left) > 0 {
					t.Fatalf("killed after %d looks, %v is there (%v)", looks, left, err)
				}
				kills++
			}
			t.Logf("killed %d times", kills)
			for i := range c.of {
				code, stdout, stderr := vggo(t.Context(), shard(i)...)
				if code != 0 || strings.Contains(stdout, "there already") != (i == victim) {
					t.Fatalf("shard %d: exit %d, %s%s", i, code, stdout, stderr)
				}
			}
			for _, output := range c.outputs {
				t.Chdir(whole)
				alone := append(slices.Clone(c.args), "-o", output)
				if c.args[0] != "features" {
					alone = append(alone, "--untimed", "--threads", "1")
				}
				wantCode, wantOut, wantErr := vggo(t.Context(), alone...)
				if wantCode != 1 || !strings.HasSuffix(wantErr, "vggo: 3 of 203 pictures could not be read\n") {
					t.Fatalf("the whole: exit %d, %s%s", wantCode, wantOut, wantErr)
				}
				t.Chdir(shards)
				named := filepath.Join(shards, strings.TrimSuffix(c.outputs[0], filepath.Ext(c.outputs[0])))
				list, err := filepath.Glob(named + ".shard-*.jsonl")
				if err != nil || len(list) != c.of {
					t.Fatalf("%d shards (%v)", len(list), err)
				}
				slices.Reverse(list)
				join := slices.Concat([]string{"join", c.args[0]}, list, []string{"-o", output})
				code, stdout, stderr := vggo(t.Context(), join...)
				if code != wantCode || stdout != wantOut || stderr != wantErr {
					t.Errorf("joined: exit %d, %q, %q\nthe whole: exit %d, %q, %q", code, stdout, stderr, wantCode, wantOut, wantErr)
				}
				written, err := os.ReadDir(whole)
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range written {
					want, err := os.ReadFile(filepath.Join(whole, file.Name()))
					if err != nil {
						t.Fatal(err)
					}
					if got, err := os.ReadFile(file.Name()); err != nil || !bytes.Equal(got, want) || len(got) == 0 {
						t.Errorf("%s of %d bytes differs from the whole's %d (%v)", file.Name(), len(got), len(want), err)
					}
				}
			}
		})
	}
}

// TestShardsPrinted: without a file join prints what one run prints, of shards that were found beside -o's file too.
func TestShardsPrinted(t *testing.T) {
	files := clothes(t, 3)
	labels, err := filepath.Abs("../../docs/examples/fashion-mnist.txt")
	if err != nil {
		t.Fatal(err)
	}
	weights, err := filepath.Abs(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	args := append([]string{"classify", "--weights", weights, "--labels", labels}, files...)
	for i := range 5 {
		t.Setenv("JOB_COMPLETION_INDEX", fmt.Sprint(i))
		if code, _, stderr := vggo(t.Context(), append(args, "--shard", "auto/5", "-o", "a.txt")...); code != 0 ||
			!strings.Contains(stderr, fmt.Sprintf("vggo: shard %d/5, as JOB_COMPLETION_INDEX tells\n", i)) {
			t.Fatalf("exit %d, %s", code, stderr)
		}
	}
	for _, json := range [][]string{nil, {"--json"}} {
		_, want, _ := vggo(t.Context(), slices.Concat(args, []string{"--untimed"}, json)...)
		list, err := filepath.Glob("a.shard-*.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		code, got, stderr := vggo(t.Context(), slices.Concat([]string{"join", "classify"}, list, json)...)
		if code != 0 || got != want || got == "" {
			t.Errorf("exit %d, %s%s\nwant %s", code, got, stderr, want)
		}
	}
	if code, _, stderr := vggo(t.Context(), "join", "classify", "-o", "a.txt"); code != 0 {
		t.Errorf("shards beside a file: exit %d, %s", code, stderr)
	}
	_, want, _ := vggo(t.Context(), append(args, "--untimed")...)
	if got, err := os.ReadFile("a.txt"); err != nil || string(got) != want {
		t.Errorf("%s (%v)\nwant %s", got, err, want)
	}
}

// FuzzJoin joins what may be a shard's file: it is an error or an answer, whatever a stranger wrote.
func FuzzJoin(f *testing.F) {
	const head = `{"command":%q,"shard":0,"of":1,"pictures":1,"run":[],"head":%s}` + "\n%s\n"
	for command, parts := range map[string][2]string{
		"features": {`{"layer":"fc3","shape":[2],"prepared":"as it is","closed":1}`, `{"file":"a.png","error":"no picture"}`},
		"classify": {`{"answers":{"model":"m","preprocess":{}},"text":"m\n"}`, `{"file":"a.png","classes":[{"class":1}]}`},
		"eval": {`{"evaluation":{"model":"m"},"of":[0,1],"labels":["a","b"],"classes":2,"pictures":1}`,
			`{"picture":"a.png","class":1,"seen":[1,0]}`},
	} {
		f.Add(command, []byte(fmt.Sprintf(head, command, parts[0], parts[1])))
	}
	f.Fuzz(func(t *testing.T, command string, text []byte) {
		if joiners[command] == nil {
			return
		}
		dir := t.TempDir()
		path, output := filepath.Join(dir, "a.shard-0-of-1.jsonl"), map[string]string{"features": "a.npy"}[command]
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		args := []string{"join", command, path}
		if output != "" {
			args = append(args, "-o", filepath.Join(dir, output))
		}
		if code, stdout, stderr := vggo(t.Context(), args...); code != 0 && stderr == "" {
			t.Errorf("exit %d, %q, and nothing is said", code, stdout)
		}
	})
}
