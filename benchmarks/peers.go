package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// onnxRuntimeVersion is the one from npm that the targets were set against.
const onnxRuntimeVersion = "1.30.0"

// python is where Debian's packages go: another Python in PATH does not see them.
const python = "/usr/bin/python3"

var debianPackages = []string{"python3-torch", "python3-torchvision", "python3-numpy", "python3-onnx"}

// installers make a peer ready to be measured, and do nothing where it is.
var installers = map[string]func(*sitting, context.Context) error{onnxRuntime: (*sitting).installONNXRuntime,
	pyTorch: (*sitting).installPyTorch}

func (s *sitting) installPyTorch(ctx context.Context) error {
	check := exec.CommandContext(ctx, python, "-c", "import torch, torchvision, numpy, onnx")
	if check.Run() == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("there is no apt-get: PyTorch comes from Debian's packages")
	}
	fmt.Fprintln(s.log, "installing PyTorch by apt-get, some minutes and 2 GB")
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"},
		debianPackages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if _, err := s.output(cmd); err != nil {
			return fmt.Errorf("%w: does it need root?", err)
		}
	}
	return nil
}

// installONNXRuntime also exports the model that it runs, which takes PyTorch.
func (s *sitting) installONNXRuntime(ctx context.Context) error {
	if err := os.MkdirAll(s.cache, 0o755); err != nil {
		return err
	}
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("there is no node: install Node.js with npm")
	}
	if installedVersion(filepath.Join(s.cache, "node_modules", "onnxruntime-node", "package.json")) != onnxRuntimeVersion {
		fmt.Fprintln(s.log, "installing ONNX Runtime by npm")
		// Its install script would fetch what GPUs need.
		cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", s.cache, "--ignore-scripts", "--no-audit", "--no-fund",
			"--save-exact", "onnxruntime-node@"+onnxRuntimeVersion)
		if _, err := s.output(cmd); err != nil {
			return err
		}
	}
	if _, err := os.Stat(s.model()); err == nil {
		return nil
	}
	if err := s.installPyTorch(ctx); err != nil {
		return fmt.Errorf("its model is PyTorch's to export: %w", err)
	}
	fmt.Fprintln(s.log, "exporting VGG-16 to ONNX")
	part := s.model() + ".part" // a file takes its name once it is whole
	if _, err := s.output(exec.CommandContext(ctx, python, s.script("export_vgg16.py"), part)); err != nil {
		return err
	}
	return os.Rename(part, s.model())
}

// installedVersion is what a package.json says, empty where there is none.
func installedVersion(path string) string {
	var p struct{ Version string }
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &p) != nil {
		return ""
	}
	return p.Version
}

func (s *sitting) model() string { return filepath.Join(s.cache, "vgg16.onnx") }

func (s *sitting) script(name string) string { return filepath.Join(s.root, "benchmarks", name) }

// install makes the peers ready that these subjects need, and returns those that it could not.
func (s *sitting) install(ctx context.Context, subjects []subject) (lacking map[string]bool) {
	lacking = map[string]bool{}
	tried := map[string]bool{}
	for _, sub := range subjects {
		if install := installers[sub.by]; install != nil && !tried[sub.by] {
			tried[sub.by] = true
			if err := install(s, ctx); err != nil {
				lacking[sub.by] = true
				fmt.Fprintf(s.log, "%s is not measured: %v\n", peerNames[sub.by], err)
			}
		}
	}
	return lacking
}
