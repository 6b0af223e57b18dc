package bed

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Rate is what the link between the workers carries, each way [bit/s]; unlimited is +Inf, and 0 drops
// everything.
type Rate float64

var unlimited = Rate(math.Inf(1))

var (
	rateWords = regexp.MustCompile(`^([0-9]*\.?[0-9]+)([kmg]?)bit$`)
	scale     = map[string]float64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9}
)

// ParseRate reads `100mbit`, `off` or `unlimited`, or `0`.
func ParseRate(text string) (Rate, error) {
	switch text {
	case "off", "unlimited":
		return unlimited, nil
	case "0":
		return 0, nil
	}
	parts := rateWords.FindStringSubmatch(strings.ToLower(text))
	if parts == nil {
		return 0, fmt.Errorf("%q is no rate: write one like 100mbit (or kbit, gbit), `off` for no limit, or 0 to drop all", text)
	}
	number, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return 0, err
	}
	rate := number * scale[parts[2]]
	if rate != 0 && (rate < 8e3 || rate > 32e9) {
		return 0, fmt.Errorf("%s is outside of what the shaper keeps: 8kbit to 32gbit", text)
	}
	return Rate(rate), nil
}

func (r Rate) String() string {
	switch {
	case r == unlimited:
		return "unlimited"
	case r == 0:
		return "0, all is dropped"
	case r < 1e6:
		return strconv.FormatFloat(float64(r)/1e3, 'g', 6, 64) + " kbit/s"
	default:
		return strconv.FormatFloat(float64(r)/1e6, 'g', 6, 64) + " Mbit/s"
	}
}

// queue is how many bytes wait for the link at most: 20 ms of it, and not less than a large segment.
// More would only be delay (TCP fills what there is).
func (r Rate) queue() int {
	return max(int(float64(r)/8*0.020), 65536)
}

// SetLink shapes what the workers send each other, both ways, from now on: connections go on. Traffic
// with the control plane is not touched.
//
// An HTB class holds what two filters give it: packets to the other worker, and to its pods. All else
// is unclassified, which HTB passes on as it comes.
func (b Bed) SetLink(ctx context.Context, rate Rate) error {
	for _, w := range Workers {
		if err := b.shape(ctx, w, rate); err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	return nil
}

func (b Bed) shape(ctx context.Context, w Worker, rate Rate) error {
	now, err := b.shaped(ctx, w)
	if err != nil {
		return err
	}
	tc := func(words ...string) error {
		_, err := b.tool(ctx, append([]string{"tc", "-n", w.netns}, words...)...)
		return err
	}
	if rate == unlimited {
		if now == unlimited {
			return nil
		}
		return tc("qdisc", "delete", "dev", "eth0", "root")
	}
	class := rate
	if rate == 0 {
		class = 8e3 // a class has a rate; nothing gets as far as that
	}
	bits := strconv.FormatFloat(float64(class), 'f', 0, 64) + "bit"
	if now == unlimited {
		if err := tc("qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb"); err != nil {
			return err
		}
	}
	// What a millisecond carries may go at once, or the kernel's timer would cost some of the rate. The
	// quantum is what a class may send in its turn; it is alone, and it must hold a packet.
	burst := strconv.Itoa(max(int(float64(class)/8*0.001), 1600))
	err = tc("class", "replace", "dev", "eth0", "parent", "1:", "classid", "1:1", "htb", "rate", bits,
		"burst", burst, "cburst", burst, "quantum", "15140")
	if err != nil {
		return err
	}
	// Another handle for another kind: the kernel refuses to change the kind of a queue.
	if rate == 0 {
		err = tc("qdisc", "replace", "dev", "eth0", "parent", "1:1", "handle", "20:", "pfifo", "limit", "0")
	} else {
		err = tc("qdisc", "replace", "dev", "eth0", "parent", "1:1", "handle", "10:", "bfifo", "limit", strconv.Itoa(rate.queue()))
	}
	if err != nil || now != unlimited {
		return err
	}
	for _, destination := range []string{w.other().Address + "/32", w.other().Pods} {
		err := tc("filter", "add", "dev", "eth0", "parent", "1:", "protocol", "ip", "u32", "match", "ip", "dst", destination, "flowid", "1:1")
		if err != nil {
			return err
		}
	}
	return nil
}

// Link is the rate that the kernel keeps, each way. Where they differ (`up` or `link` was cut off in the
// middle) it is an error.
func (b Bed) Link(ctx context.Context) (Rate, error) {
	var rates [2]Rate
	for i, w := range Workers {
		var err error
		if rates[i], err = b.shaped(ctx, w); err != nil {
			return 0, fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	if rates[0] != rates[1] {
		return 0, fmt.Errorf("the link is %v one way and %v the other: set it again by `cluster link RATE`", rates[0], rates[1])
	}
	return rates[0], nil
}

var classRate = regexp.MustCompile(`class htb 1:1 .*\brate (\S+)`)

func (b Bed) shaped(ctx context.Context, w Worker) (Rate, error) {
	qdiscs, err := b.tool(ctx, "tc", "-n", w.netns, "qdisc", "show", "dev", "eth0")
	if err != nil {
		return 0, err
	}
	if !strings.Contains(qdiscs, "qdisc htb 1:") {
		return unlimited, nil
	}
	if strings.Contains(qdiscs, "qdisc pfifo 20: parent 1:1") {
		return 0, nil
	}
	classes, err := b.tool(ctx, "tc", "-n", w.netns, "class", "show", "dev", "eth0")
	if err != nil {
		return 0, err
	}
	found := classRate.FindStringSubmatch(classes)
	if found == nil {
		return 0, fmt.Errorf("the shaper has no class: set the link again by `cluster link off` and `cluster link RATE`")
	}
	return ParseRate(found[1])
}
