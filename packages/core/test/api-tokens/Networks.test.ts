import * as Networks from "@broker/core/api-tokens/Networks"
import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import { IpNetwork } from "effect/net"

const parsed = (text: string) => Option.getOrNull(Option.map(Networks.parse(text), IpNetwork.format))

describe("Networks", () => {
  it.each([
    ["203.0.113.0/24", "203.0.113.0/24"],
    ["203.0.113.7", "203.0.113.7/32"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["2001:db8::/48", "2001:db8::/48"],
    ["2001:DB8::1", "2001:db8::1/128"],
    ["::/0", "::/0"],
    // IPv4 in IPv6 is IPv4.
    ["::ffff:203.0.113.0/120", "203.0.113.0/24"],
    ["::ffff:203.0.113.7", "203.0.113.7/32"]
  ])("%s is %s", (text, network) => {
    assert.strictEqual(parsed(text), network)
  })

  it.each([
    "10.0.0.1/8",
    "203.0.113.0/33",
    "2001:db8::1/48",
    "2001:db8::/129",
    "203.0.113/24",
    "0203.0.113.0/24",
    "203.0.113.0/-1",
    "203.0.113.0/",
    "::ffff:0:0/80",
    "example.com",
    "fe80::1%eth0",
    ""
  ])("%j is none", (text) => {
    assert.isNull(parsed(text))
  })

  it.each([
    [["203.0.113.0/24"], "203.0.113.255", true],
    [["203.0.113.0/24"], "203.0.114.0", false],
    [["203.0.113.0/24"], "::ffff:203.0.113.9", true],
    [["::ffff:203.0.113.0/120"], "203.0.113.9", true],
    [["2001:db8::/48"], "2001:db8:0:1::1", true],
    [["2001:db8::/48"], "2001:db8:1::1", false],
    // All of IPv6 is nothing of IPv4, and the other way round.
    [["::/0"], "203.0.113.9", false],
    [["0.0.0.0/0"], "2001:db8::1", false],
    [["192.0.2.1", "203.0.113.9"], "203.0.113.9", true],
    [["0.0.0.0/0"], "no address", false],
    [[], "203.0.113.9", false]
  ] as const)("%j hold %s: %s", (networks, address, held) => {
    const parsed = networks.map((network) => Option.getOrThrow(Networks.parse(network)))
    assert.strictEqual(Networks.hold(parsed, address), held)
  })
})
