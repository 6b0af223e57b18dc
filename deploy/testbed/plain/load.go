package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// load sends requests at a rate, whatever becomes of those before, and says at the end of each part what became of them.
func load(ctx context.Context, words []string) error {
	if len(words) < 2 {
		return errors.New("a URL and at least one RATE:SECONDS, such as 4:30")
	}
	// As many as it takes: a bound would make late what it is to measure.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 60 * time.Second}
	var all sync.WaitGroup
	var parts []*part
	for _, word := range words[1:] {
		var rate, seconds float64
		left, right, _ := strings.Cut(word, ":")
		var bad [2]error
		rate, bad[0] = strconv.ParseFloat(left, 64)
		seconds, bad[1] = strconv.ParseFloat(right, 64)
		if errors.Join(bad[:]...) != nil || rate <= 0 || seconds <= 0 {
			return fmt.Errorf("%s is no RATE:SECONDS above zero, such as 4:30", word)
		}
		this := &part{rate: rate, codes: map[string]int{}}
		parts = append(parts, this)
		ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
		for n := 0; n < int(rate*seconds); n++ {
			select {
			case <-ctx.Done():
				ticker.Stop()
				return errors.New("interrupted")
			case <-ticker.C:
			}
			all.Add(1)
			go func() {
				defer all.Done()
				this.one(ctx, client, words[0])
			}()
		}
		ticker.Stop()
	}
	all.Wait()
	for _, part := range parts {
		fmt.Println(part)
	}
	return nil
}

// part is a time of one rate.
type part struct {
	rate  float64
	mutex sync.Mutex
	codes map[string]int
	took  []float64
}

func (p *part) one(ctx context.Context, client *http.Client, url string) {
	begin, code := time.Now(), "no answer"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err == nil {
		var told *http.Response
		if told, err = client.Do(request); err == nil {
			if _, err = io.Copy(io.Discard, told.Body); err == nil {
				code = strconv.Itoa(told.StatusCode)
			}
			told.Body.Close()
		}
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.codes[code]++
	if code == "200" {
		p.took = append(p.took, time.Since(begin).Seconds())
	}
}

func (p *part) String() string {
	sort.Float64s(p.took)
	at := func(share float64) float64 {
		if len(p.took) == 0 {
			return 0
		}
		return p.took[int(share*float64(len(p.took)-1))]
	}
	sent := 0
	for _, count := range p.codes {
		sent += count
	}
	return fmt.Sprintf("%g/s: %d sent, answered %v, p50 %.2f s, p95 %.2f s", p.rate, sent, p.codes, at(0.5), at(0.95))
}
