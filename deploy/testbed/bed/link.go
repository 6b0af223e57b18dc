package bed

import (
	"context"
	"errors"
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

// queue is how many bytes wait for the link at most: what it carries in 20 ms, and not less than ten
// packets. More would only be delay, for TCP fills what there is.
func (r Rate) queue() int {
	return max(int(float64(r)/8*0.020), 15140)
}

// burst is how many bytes may go at once: those of a millisecond, or the kernel's timer would cost some of
// the rate; and not less than two packets. TCP hands over up to 64 kB in one piece, which the shaper cuts
// into packets where the burst is smaller: without that a slow link would carry nothing else for as long.
func (r Rate) burst() int {
	return max(int(float64(r)/8*0.001), 3028)
}

// SetLink shapes what the workers send each other, both ways, from now on: connections go on. Traffic
// with the control plane is not touched.
//
// Two filters give packets to the other worker and to its pods to a class of HTB, which only sorts: the
// rate is kept by the TBF below it. All else is in no class, and HTB passes it on as it comes.
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
	if err != nil && rate != unlimited {
		return err
	}
	tc := func(words ...string) error {
		_, err := b.tool(ctx, append([]string{"tc", "-n", w.netns}, words...)...)
		return err
	}
	if rate == unlimited {
		if now == unlimited && err == nil {
			return nil
		}
		return tc("qdisc", "delete", "dev", "eth0", "root")
	}
	if now == unlimited {
		for _, step := range [][]string{
			{"qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb"},
			{"class", "add", "dev", "eth0", "parent", "1:", "classid", "1:1", "htb", "rate", "100gbit", "burst", "10m", "cburst", "10m", "quantum", "60000"},
		} {
			if err := tc(step...); err != nil {
				return err
			}
		}
	}
	below := []string{"qdisc", "replace", "dev", "eth0", "parent", "1:1"}
	// Another handle for another kind: the kernel refuses to change the kind of a queue.
	if rate == 0 {
		err = tc(append(below, "handle", "20:", "pfifo", "limit", "0")...)
	} else {
		err = tc(append(below, "handle", "10:", "tbf",
			"rate", strconv.FormatFloat(float64(rate), 'f', 0, 64)+"bit",
			"burst", strconv.Itoa(rate.burst()), "limit", strconv.Itoa(rate.queue()))...)
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

var keptRate = regexp.MustCompile(`qdisc tbf 10: parent 1:1 rate (\S+)`)

func (b Bed) shaped(ctx context.Context, w Worker) (Rate, error) {
	qdiscs, err := b.tool(ctx, "tc", "-n", w.netns, "qdisc", "show", "dev", "eth0")
	if err != nil {
		return 0, err
	}
	if !strings.Contains(qdiscs, "qdisc htb 1:") {
		return unlimited, nil
	}
	if strings.Contains(qdiscs, "qdisc pfifo 20: parent 1:1 limit 0p") {
		return 0, nil
	}
	if found := keptRate.FindStringSubmatch(qdiscs); found != nil {
		return ParseRate(found[1])
	}
	return 0, errors.New("the shaper is half made: `cluster link off`, then `cluster link RATE`")
}
