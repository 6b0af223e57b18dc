package bed

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
)

// makeNetwork makes the bridge, the workers' namespaces, a cable to each, and the routes. No route leads
// out of the machine: what runs in a worker reaches the other one, the control plane, and nothing else.
func (b Bed) makeNetwork(ctx context.Context) error {
	if err := b.checkRanges(ctx); err != nil {
		return err
	}
	steps := [][]string{
		{"ip", "link", "add", bridge, "type", "bridge"},
		{"ip", "address", "add", gateway + "/24", "dev", bridge},
		{"ip", "link", "set", bridge, "up"},
	}
	for _, w := range Workers {
		inside := []string{"ip", "-n", w.netns}
		steps = append(steps, [][]string{
			{"ip", "netns", "add", w.netns},
			{"ip", "link", "add", w.veth, "type", "veth", "peer", "name", "eth0", "netns", w.netns},
			{"ip", "link", "set", w.veth, "master", bridge, "up"},
			append(inside, "link", "set", "lo", "up"),
			append(inside, "address", "add", w.Address+"/24", "dev", "eth0"),
			append(inside, "link", "set", "eth0", "up"),
			// Addresses of services lead nowhere, but what has no route at all is refused before
			// kube-proxy's rules could change where it goes.
			append(inside, "route", "add", services, "dev", "eth0"),
			// Between pods of both workers there is no translation: they see each other's addresses.
			append(inside, "route", "add", w.other().Pods, "via", w.other().Address),
			// The root namespace reaches pods, to measure and to scrape them.
			{"ip", "route", "add", w.Pods, "via", w.Address},
		}...)
	}
	// Services too, by the rules of one of the workers.
	steps = append(steps, []string{"ip", "route", "add", services, "via", Workers[0].Address})
	for _, step := range steps {
		if _, err := b.tool(ctx, step...); err != nil {
			return err
		}
	}
	return nil
}

// checkRanges makes sure that nothing on this machine has addresses of the bed.
func (b Bed) checkRanges(ctx context.Context) error {
	output, err := b.tool(ctx, "ip", "-json", "-4", "route", "show", "table", "main")
	if err != nil {
		return err
	}
	var routes []struct {
		Destination string `json:"dst"`
		Device      string `json:"dev"`
	}
	if err := json.Unmarshal([]byte(output), &routes); err != nil {
		return fmt.Errorf("`ip -json route`: %w", err)
	}
	for _, route := range routes {
		taken, err := netip.ParsePrefix(route.Destination)
		if address, bad := netip.ParseAddr(route.Destination); bad == nil {
			taken, err = address.Prefix(32)
		}
		if err != nil {
			continue // default, and what is no range
		}
		for _, own := range []string{machines, pods, services} {
			if taken.Overlaps(netip.MustParsePrefix(own)) {
				return fmt.Errorf("the bed needs the addresses %s, and this machine has a route to %s (by %s)",
					own, taken, route.Device)
			}
		}
	}
	return nil
}

// removeNetwork takes away what makeNetwork made, as far as it came. Routes go with their links, and the
// links inside a namespace with it.
func (b Bed) removeNetwork(ctx context.Context) error {
	for _, link := range []string{Workers[0].veth, Workers[1].veth, bridge} {
		if _, err := net.InterfaceByName(link); err == nil {
			if _, err := b.tool(ctx, "ip", "link", "delete", link); err != nil {
				return err
			}
		}
	}
	for _, w := range Workers {
		path := filepath.Join(netnsFolder, w.netns)
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		if _, err := b.tool(ctx, "ip", "netns", "delete", w.netns); err != nil {
			return err
		}
	}
	return nil
}

// CutNode takes a worker off the bridge, as if its cable were pulled; or puts it back.
func (b Bed) CutNode(ctx context.Context, w Worker, cut bool) error {
	state := "up"
	if cut {
		state = "down"
	}
	_, err := b.tool(ctx, "ip", "link", "set", w.veth, state)
	return err
}
