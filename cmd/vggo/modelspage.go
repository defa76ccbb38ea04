package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/vggo/vggo/hub"
)

// modelsPage is what docs/models.md says beside the table of package hub, in one language.
type modelsPage struct {
	intro   string // with the table's head
	sources string // the second section's heading

	credited                                      string // a licence and whom it wants named
	note, address, trust                          string
	cited                                         string // what, and where
	checksum, size, licence, preprocess, accuracy string
	phrases                                       []string // the table's English and what it becomes, in turn
}

var modelsPages = map[string]modelsPage{
	"en": {
		intro: `# Published weights

English | [中文](models.zh-CN.md)

What ` + "`vggo pull`" + ` downloads. ` + "`vggo models --markdown`" +
			` writes this page. Each figure is its publisher's and stands with the place where it
was read; what is blank nobody says. The machine that vggo is tested on reaches none of these addresses: downloads are tested against a
server of the tests' own.

A whole SHA-256 tells a file from every other. The first eight digits of one, which torchvision's and Johnson's file
names carry, and the MD5 of Keras' and MatConvNet's files catch damage, not an attacker: eight digits are 32 bits, which
another file can be made to have in minutes, and whoever prepares a file can prepare two of one MD5. There TLS and the
publisher are what is trusted.

| name | network | size | top-1 | top-5 | pre-processing | licence, to be credited |
|---|---|---:|---:|---:|---|---|
`,
		sources:  "Where it was read",
		credited: "%s, %s", note: " (%s)", address: "\n: address: %s", trust: "; held against %s",
		checksum: "checksum", size: "size", licence: "licence", preprocess: "pre-processing", accuracy: "accuracy",
		cited: "; %s: %s",
	},
	"zh-CN": {
		intro: `# 已发布的权重

[English](models.md) | 中文

` + "`vggo pull`" + ` 能下载的文件。本页由 ` + "`vggo models --markdown`" + ` 写出（中文版加上 =zh-CN）。每个数字都出自发布者，并注明在何处读到；
空白处是没有人公布。测试 vggo 的机器连不上这些地址：下载是对着测试自带的服务器测试的。

完整的 SHA-256 能把一个文件与任何别的文件区分开。
torchvision 和 Johnson 的文件名里只有它的前八位，Keras 和 MatConvNet 的文件只有 MD5：
它们能查出损坏，防不住攻击者。八位十六进制数是 32 比特，几分钟就能造出另一个相符的文件；而谁能准备一个文件，就能准备两个 MD5 相同的文件。
这时可信的是 TLS 和发布者。

| 名称 | 网络 | 大小 | top-1 | top-5 | 预处理 | 许可证，须署名 |
|---|---|---:|---:|---:|---|---|
`,
		sources:  "在何处读到",
		credited: "%s，%s", note: "（%s）", address: "\n: 地址：%s", trust: "；核对依据：%s",
		checksum: "校验和", size: "大小", licence: "许可证", preprocess: "预处理", accuracy: "准确率",
		cited: "；%s：%s",
		phrases: []string{
			// whom to credit
			"Soumith Chintala and the torchvision contributors", "Soumith Chintala 与 torchvision 的贡献者",
			"torchvision's weights, converted by Ross Wightman for timm", "torchvision 的权重，由 Ross Wightman 为 timm 转换",
			"ported by torchvision from github.com/amdegroot/ssd.pytorch", "由 torchvision 从 github.com/amdegroot/ssd.pytorch 移植",
			"K. Simonyan and A. Zisserman, Visual Geometry Group, University of Oxford",
			"K. Simonyan 与 A. Zisserman，牛津大学 Visual Geometry Group",
			"the ONNX Model Zoo, trained in MXNet by its contributors", "ONNX Model Zoo，由其贡献者用 MXNet 训练",
			// notes
			"for features alone: its fully connected layers hold NaN. torchvision subtracts 123, 117 and 104 of 255, the " +
				"pre-processing caffe 123.68, 116.779 and 103.939",
			"只供提取特征：它的全连接层里是 NaN。torchvision 从 255 级的像素值里减去 123、117、104，预处理 caffe 减去 123.68、116.779、103.939",
			"the convolutions alone, without fully connected layers", "只有卷积层，没有全连接层",
			// what a download is held against
			"the first 8 of 64 digits of its SHA-256", "它的 SHA-256 的 64 位中的前 8 位",
			"the SHA-256 and the size in its Git LFS pointer, read over TLS when it is downloaded",
			"其 Git LFS 指针里的 SHA-256 和大小，下载时经 TLS 读取",
			"its SHA-256", "它的 SHA-256", "its MD5", "它的 MD5",
			// sources
			"torchvision's _file_size (since 0.15), as copies of its source keep it (github.com/Ace1928/eidosian_forge, " +
				"archive_forge/code, among them)",
			"torchvision 的 _file_size（自 0.15 起），取自其源码的副本（github.com/Ace1928/eidosian_forge，archive_forge/code 等）",
			"the file's name (torch.hub, check_hash: the first digits of its SHA-256)",
			"文件名（torch.hub，check_hash：其 SHA-256 的前几位）",
			"the library's, by Debian's python3-torchvision 0.14.1-2, copyright; weights may have terms of their own " +
				"(github.com/pytorch/vision, pull request 5714)",
			"库的许可证，据 Debian 的 python3-torchvision 0.14.1-2，copyright；权重可能另有条款（github.com/pytorch/vision，pull request 5714）",
			", commit history", "，提交历史", ", page of model.safetensors, Git LFS details", "，model.safetensors 的页面，Git LFS 信息",
			", the model card, front matter", "，模型卡开头的元数据",
			", file list (the ONNX Model Zoo's files, since GitHub no longer serves them)",
			"，文件列表（ONNX Model Zoo 的文件，因为 GitHub 不再提供）",
			", File checksums", "，文件校验和一节",
			"robots.ox.ac.uk/~vgg/research/very_deep, as github.com/Lasagne/Recipes, issue 71, quotes it",
			"robots.ox.ac.uk/~vgg/research/very_deep，据 github.com/Lasagne/Recipes 的 issue 71 所引",
			", file list", "，文件列表", " (given there as errors)", "（那里给出的是错误率）",
			", issue 6221 (the end of the file by its own header)", "，issue 6221（按文件自己的头部算出的文件末尾）",
		},
	},
}

// writeModelsPage prints docs/models.md or a translation of it.
func writeModelsPage(out io.Writer, language string) error {
	words, ok := modelsPages[language]
	if !ok {
		return usageError{fmt.Errorf("--markdown=%s: the page is written in en and zh-CN", language)}
	}
	said := strings.NewReplacer(words.phrases...).Replace
	var page strings.Builder
	page.WriteString(words.intro)
	for _, e := range hub.All() {
		top1, top5 := percentages(e.Accuracy.Value)
		fmt.Fprintf(&page, "| [%s](%s) | %s | %s | %s | %s | %s | ", e.Name, e.URL.Value, e.Network, e.Size.Value, top1, top5,
			e.Preprocess.Value)
		fmt.Fprintf(&page, words.credited+" |\n", e.Licence.Value, said(e.Credit))
	}
	page.WriteString("\n## " + words.sources + "\n\n")
	for _, e := range hub.All() {
		fmt.Fprintf(&page, "**%s**", e.Name)
		if e.Note != "" {
			fmt.Fprintf(&page, words.note, said(e.Note))
		}
		fmt.Fprintf(&page, words.address+words.trust, said(e.URL.Source), said(e.Trust()))
		for _, c := range []struct{ what, source string }{
			{words.checksum, e.Checksum.Source}, {words.size, e.Size.Source}, {words.licence, e.Licence.Source},
			{words.preprocess, e.Preprocess.Source},
			{words.accuracy, e.Accuracy.Source},
		} {
			if c.source != "" {
				fmt.Fprintf(&page, words.cited, c.what, said(c.source))
			}
		}
		page.WriteString("\n\n")
	}
	_, err := io.WriteString(out, strings.TrimSuffix(page.String(), "\n"))
	return err
}
