package bed

import "testing"

func TestRatesAreReadAndSaid(t *testing.T) {
	for text, said := range map[string]string{
		"100mbit":   "100 Mbit/s",
		"1.5mbit":   "1.5 Mbit/s",
		"64kbit":    "64 kbit/s",
		"12345Kbit": "12.345 Mbit/s", // as tc prints it
		"2gbit":     "2000 Mbit/s",
		"off":       "unlimited",
		"unlimited": "unlimited",
		"0":         "0, all is dropped",
	} {
		rate, err := ParseRate(text)
		if err != nil || rate.String() != said {
			t.Errorf("%s: %v, %v", text, rate, err)
		}
	}
	for _, text := range []string{"", "100", "mbit", "-1mbit", "1mbyte", "1kbit", "64gbit", "1e3mbit"} {
		if rate, err := ParseRate(text); err == nil {
			t.Errorf("%q was read as %v", text, rate)
		}
	}
}

func TestTheQueueIsTwentyMillisecondsAndHoldsPackets(t *testing.T) {
	for rate, want := range map[Rate][2]int{100e6: {250_000, 12_500}, 20e6: {50_000, 3028}, 64e3: {15_140, 3028}} {
		if rate.queue() != want[0] || rate.burst() != want[1] {
			t.Errorf("%v: a queue of %d bytes, bursts of %d", rate, rate.queue(), rate.burst())
		}
	}
}
