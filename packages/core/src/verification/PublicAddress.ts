/** Which addresses the broker may connect to on the word of a server: those that anybody on the internet may have. */
import { BlockList, isIP } from "node:net"

const special = new BlockList()

/**
 * This network, private, shared, loopback, link-local with metadata, protocol, documentation, benchmarks, multicast,
 * reserved; and the address that stands for the host in every machine of Azure.
 */
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["168.63.129.16", 32],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4]
] as const) {
  special.addSubnet(network, prefix, "ipv4")
}

/** Of what is given out to the internet, what stands for something else: Teredo, 6to4, documentation, benchmarks, and the like. */
for (const [network, prefix] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20]
] as const) {
  special.addSubnet(network, prefix, "ipv6")
}

const global = new BlockList()
global.addSubnet("2000::", 3, "ipv6")

/** Only plain addresses: what maps or embeds an IPv4 address in an IPv6 one lies outside of 2000::/3, or is special. */
export const isPublic = (address: string): boolean => {
  switch (isIP(address)) {
    case 4:
      return !special.check(address, "ipv4")
    case 6:
      return !address.includes("%") && global.check(address, "ipv6") && !special.check(address, "ipv6")
    default:
      return false
  }
}
