package main

import (
	"fmt"
	"strings"
)

// language is what the tables say in words.
type language struct {
	options                     [options]string
	ranks                       [2]string
	fit, point, measured, model string
}

var english = language{
	options: [options]string{"as it is", "accumulate=4", "16 bits", "factors"},
	ranks:   [2]string{"ranks of two cores, 4.3 s a step", "ranks as quick as 64 cores, 0.13 s a step"},
	fit: "Fitted: α = %.2f ms, β = %.0f MB/s, which is %.0f %% of the link's 125 MB/s. The fit is no better than its " +
		"points:\n\n",
	point: "bytes", model: "model", measured: "measured",
}

var chinese = language{
	options: [options]string{"现状", "accumulate=4", "16 位", "因子"},
	ranks: [2]string{"进程数（各两个核，一步 4.3 秒）",
		"进程数（各相当于 64 个核，一步 0.13 秒）"},
	fit: "拟合结果：α = %.2f 毫秒，β = %.0f MB/s，是链路 125 MB/s 的 %.0f %%。" +
		"拟合不会比它的数据点更好：\n\n",
	point: "字节", model: "模型", measured: "实测",
}

// tables are what stands between the markers of a document.
func tables(n network, l language) string {
	var text strings.Builder
	fit := fitted()
	fmt.Fprintf(&text, l.fit, 1e3*fit.alpha, 1e-6/fit.perByte, 100/fit.perByte/(measuredGbit*1e9/8))
	fmt.Fprintf(&text, "| %s | %s | %s |\n|---:|---:|---:|\n", l.point, l.measured, l.model)
	for _, p := range measured {
		fmt.Fprintf(&text, "| %.0f | %.2f ms | %.2f ms |\n", p.bytes, 1e3*p.seconds, 1e3*fit.sum(p.bytes, 2))
	}
	shown := []float64{1, 10, 100, 400}
	for i, r := range []rank{slow, fast} {
		fmt.Fprintf(&text, "\n| %s |", l.ranks[i])
		for _, gbit := range shown {
			fmt.Fprintf(&text, " %g Gbit/s |", gbit)
		}
		text.WriteString("\n|---:|" + strings.Repeat("---|", len(shown)) + "\n")
		for _, ranks := range []float64{1, 2, 8, 64, 256, 1024} {
			fmt.Fprintf(&text, "| %g |", ranks)
			for _, gbit := range shown {
				best, e := n.best(r, linkOf(gbit), ranks)
				fmt.Fprintf(&text, " %.0f %%", 100*n.efficiency(r, linkOf(gbit), ranks, plain))
				if best != plain {
					fmt.Fprintf(&text, ", %s %.0f %%", l.options[best], 100*e)
				}
				text.WriteString(" |")
			}
			text.WriteString("\n")
		}
	}
	return text.String()
}
