package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/internal/kernel"
)

// build is what `vggo version` prints.
type build struct {
	Version  string `json:"version"`            // the module's version, or "devel"
	Revision string `json:"revision,omitempty"` // the commit, with "+dirty" where files had changed
	Time     string `json:"time,omitempty"`     // of the commit
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS/GOARCH
	Kernels  string `json:"kernels"`  // the kernel set in use
}

func newVersionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Name the build and the kernel set in use",
		Args:  noArguments(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeVersion(cmd.OutOrStdout(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func writeVersion(out io.Writer, asJSON bool) error {
	b := currentBuild()
	set, err := kernel.Active()
	if err != nil {
		return err
	}
	b.Kernels = set.Name
	if asJSON {
		return writeJSON(out, b)
	}
	commit := ""
	if b.Revision != "" {
		commit = fmt.Sprintf(" (%s, %s)", b.Revision, b.Time)
	}
	_, err = fmt.Fprintf(out, "vggo %s%s\n%s %s, %s kernels\n", b.Version, commit, b.Go, b.Platform, b.Kernels)
	return err
}

func currentBuild() build {
	b := build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	if b.Revision != "" {
		b.Revision += dirty
	}
	return b
}
