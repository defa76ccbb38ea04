package sheet_test

import (
	"strings"
	"testing"

	"github.com/vggo/vggo/internal/sheet"
)

func example() *sheet.Table {
	t := sheet.New("layer", "what it does", "size", "price").Figures(3, 4)
	t.Row("conv1_1", "a convolution of three by three", 12, "1,728")
	t.Row("pool1", "the largest of each window\x1b[2J", 6, "")
	t.Footer("total", "", 18, "1,728")
	return t
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		columns int
		wrap    int
		drop    []int
		want    []string // some lines
		longest int
	}{
		{0, 2, []int{4}, []string{"layer    what it does                       size  price"}, 1000},
		{200, 2, []int{4}, []string{"layer    what it does                       size  price"}, 200},
		{50, 2, []int{4, 3}, []string{"conv1_1  a convolution of three by     12  1,728"}, 50},
		{38, 2, []int{4, 3}, []string{"left out, for want of room: price", "conv1_1  a convolution of         12"}, 38},
		{38, 0, []int{4, 2}, []string{"layer    size", "left out, for want of room: price,"}, 38},
		{5, 2, []int{4, 3}, []string{"layer    what it does"}, 1000}, // there is no more that could go
	} {
		table := example().Narrow(c.wrap, c.drop...)
		got := table.Text(c.columns)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%+v: no %q in\n%s", c, want, got)
			}
		}
		if sheet.Width(got) > c.longest || strings.Contains(got, " \n") || strings.Contains(got, "\x1b") {
			t.Errorf("%+v: %d columns:\n%s", c, sheet.Width(got), got)
		}
		if again, first := table.Text(0), example().Text(0); again != first {
			t.Errorf("%+v: what was fitted to a terminal stays so:\n%s", c, again)
		}
	}
}
