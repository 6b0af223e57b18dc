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

func TestTheQueueIsTwentyMillisecondsAndHoldsASegment(t *testing.T) {
	if queue := Rate(100e6).queue(); queue != 250_000 {
		t.Errorf("at 100 Mbit/s: %d bytes", queue)
	}
	if queue := Rate(1e6).queue(); queue != 65536 {
		t.Errorf("at 1 Mbit/s: %d bytes", queue)
	}
}
