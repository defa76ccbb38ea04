package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/vggo/vggo/hub"
)

func newModelsCommand() *cobra.Command {
	var markdown, asJSON bool
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List the published weights that vggo pull downloads",
		Long: `List the published weights that vggo pull downloads, with what their publishers say
of them. --json and --markdown tell where each figure was read; what is blank nobody
says. Accuracy is the publisher's, on ImageNet's validation pictures.`,
		Example: `  vggo models
  vggo models --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			switch {
			case markdown:
				return writeModelsPage(out)
			case asJSON:
				return writeJSON(out, listModels())
			}
			t := newTable(3, 4, 5)
			t.AppendHeader(table.Row{"name", "network", "size", "top-1", "top-5", "recipe", "licence", "here"})
			for _, m := range listModels() {
				top1, top5 := percentages(m.Accuracy.Value)
				here := ""
				if m.Path != "" {
					here = "yes"
				}
				t.AppendRow(table.Row{m.Name, m.Network, m.Size.Value.String(), top1, top5, m.Recipe.Value, m.Licence.Value, here})
			}
			_, err := fmt.Fprintln(out, t.Render())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the source of each figure")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print docs/models.md")
	cmd.MarkFlagsMutuallyExclusive("json", "markdown")
	return cmd
}

// model is an entry and where it is.
type model struct {
	hub.Entry
	Trust string `json:"trust"`          // what a download is held against
	Path  string `json:"path,omitempty"` // in the cache
}

func listModels() []model {
	var list []model
	for _, e := range hub.All() {
		m := model{Entry: e, Trust: e.Trust()}
		if path, ok := hub.Path(e); ok {
			m.Path = path
		}
		list = append(list, m)
	}
	return list
}

// percentages are empty where accuracy is not published.
func percentages(p hub.Performance) (top1, top5 string) {
	if p == (hub.Performance{}) {
		return "", ""
	}
	return fmt.Sprintf("%.2f %%", p.Top1), fmt.Sprintf("%.2f %%", p.Top5)
}

// writeModelsPage prints docs/models.md.
func writeModelsPage(out io.Writer) error {
	var page strings.Builder
	page.WriteString(`# Published weights

What ` + "`vggo pull`" + ` downloads. ` + "`vggo models --markdown`" + ` writes this page. Each figure is its publisher's and stands with the place where it
was read; what is blank nobody says. The machine that vggo is tested on reaches none of these addresses: downloads are tested against a
server of the tests' own.

| name | network | size | top-1 | top-5 | recipe | licence, to be credited |
|---|---|---:|---:|---:|---|---|
`)
	for _, e := range hub.All() {
		top1, top5 := percentages(e.Accuracy.Value)
		fmt.Fprintf(&page, "| [%s](%s) | %s | %s | %s | %s | %s | %s, %s |\n",
			e.Name, e.URL.Value, e.Network, e.Size.Value, top1, top5, e.Recipe.Value, e.Licence.Value, e.Credit)
	}
	page.WriteString("\n## Where it was read\n\n")
	for _, e := range hub.All() {
		fmt.Fprintf(&page, "**%s**", e.Name)
		if e.Note != "" {
			fmt.Fprintf(&page, " (%s)", e.Note)
		}
		fmt.Fprintf(&page, "\n: address: %s; held against %s", e.URL.Source, e.Trust())
		for _, c := range []struct{ what, source string }{
			{"checksum", e.Checksum.Source}, {"size", e.Size.Source}, {"licence", e.Licence.Source}, {"recipe", e.Recipe.Source}, {"accuracy", e.Accuracy.Source},
		} {
			if c.source != "" {
				fmt.Fprintf(&page, "; %s: %s", c.what, c.source)
			}
		}
		page.WriteString("\n\n")
	}
	_, err := io.WriteString(out, strings.TrimSuffix(page.String(), "\n"))
	return err
}
