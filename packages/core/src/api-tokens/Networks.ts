/** The networks that an API token may be used from. */

import { Option, Result } from "effect"
import { IpNetwork, NetAddress } from "effect/net"

/** How many bits of an IPv4-mapped IPv6 address stand before the IPv4 address in it. */
const mappedBits = 96

/** A network that was written in IPv6 but holds IPv4 addresses only (`::ffff:203.0.113.0/120`) is one of IPv4. */
const canonical = (network: IpNetwork.IpNetwork): Option.Option<IpNetwork.IpNetwork> => {
  const address = NetAddress.toCanonical(network.address)
  if (address === network.address) return Option.some(network)
  return network.prefixLength < mappedBits
    ? Option.none()
    : Result.getSuccess(IpNetwork.make(address, network.prefixLength - mappedBits))
}

/** An address or a network in CIDR notation, with all bits after the prefix zero; none for anything else. */
export const parse = (text: string): Option.Option<IpNetwork.IpNetwork> =>
  Option.flatMap(
    Result.getSuccess(IpNetwork.fromString(text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`)),
    canonical
  )

/** Whether an address is in one of them. An IPv4 address is, however it is written. */
export const hold = (networks: ReadonlyArray<IpNetwork.IpNetwork>, address: string): boolean =>
  Option.match(Result.getSuccess(NetAddress.ipFromString(address)), {
    onNone: () => false,
    onSome: (parsed) => {
      const plain = NetAddress.toCanonical(parsed)
      return networks.some((network) => IpNetwork.contains(network, plain))
    }
  })
