package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var manFolder = flag.String("man", "", "write the man pages into this `folder`")

// TestManPages makes a man page of every command, as make man does with -man: the help, in sections that man shows.
func TestManPages(t *testing.T) {
	dir := *manFolder
	if dir == "" {
		dir = t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	root := newRootCommand()
	root.DisableAutoGenTag = true // which has the day in it
	for _, cmd := range root.Commands() {
		cmd.Long = strings.ReplaceAll(cmd.Long, "\n  ", "\n      ") // lines in columns stay so
	}
	if err := doc.GenManTree(root, &doc.GenManHeader{Title: "VGGO", Section: "1", Source: "vggo", Manual: "vggo"},
		dir); err != nil {
		t.Fatal(err)
	}
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() && cmd != root {
			return
		}
		path := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
		page, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			return
		}
		wanted := []string{".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"}
		if cmd.Name() == "arch" {
			wanted = append(wanted, "\n  L   local response normalisation               A  average pooling 2x2\n",
				"\\fB--formulas")
		}
		for _, want := range wanted {
			if !bytes.Contains(page, []byte(want)) {
				t.Errorf("%s has no %s", path, want)
			}
		}
		for _, below := range cmd.Commands() {
			check(below)
		}
	}
	check(root)
}
