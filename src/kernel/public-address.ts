import { BlockList, isIP } from "node:net";

/** Address ranges of IPv4 that are not the public Internet (IANA special-purpose registry). */
const PRIVATE_IPV4: readonly [string, number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  // Link-local, and with it the metadata service of every cloud.
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
  ["240.0.0.0", 4],
];

/** Within 2000::/3: protocol assignments with Teredo, documentation, 6to4. */
const SPECIAL_IPV6: readonly [string, number][] = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

const refused = new BlockList();
for (const [network, bits] of PRIVATE_IPV4) refused.addSubnet(network, bits, "ipv4");
for (const [network, bits] of SPECIAL_IPV6) refused.addSubnet(network, bits, "ipv6");

const globalUnicast = new BlockList();
globalUnicast.addSubnet("2000::", 3, "ipv6");

/** Of IPv4, as IPv6 writes them. */
const carried = new BlockList();
carried.addSubnet("::ffff:0:0", 96, "ipv6");

/**
 * Which addresses are reached that are no part of the public Internet: all, none, or those of the networks that the
 * installation names.
 */
export type PrivateAddresses = boolean | BlockList;

/** Whether something may be sent to an address that somebody else has named. */
export function mayReach(address: string, allowed: PrivateAddresses): boolean {
  if (typeof allowed === "boolean") return allowed || isPublicAddress(address);
  return isPublicAddress(address) || isWithin(address, allowed);
}

/** `10.1.0.0/16`, `fd00:1::/32`, or one address; undefined for anything else. */
export function networkOf(text: string): { address: string; bits: number } | undefined {
  const [, address = "", prefix] = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(text) ?? [];
  const most = { 4: 32, 6: 128 }[isIP(address)];
  const bits = prefix === undefined ? most : Number(prefix);
  if (most === undefined || bits === undefined || bits > most) return undefined;
  // Would stand for addresses of IPv4, with another count of bits.
  if (most === 128 && isWithin(address, carried)) return undefined;
  return { address, bits };
}

/** The addresses of several networks together. */
export function addressesOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const { address, bits } = networkOf(network) ?? assertNever(network);
    list.addSubnet(address, bits, isIP(address) === 4 ? "ipv4" : "ipv6");
  }
  return list;
}

function assertNever(network: string): never {
  throw new Error(`${network} is no network`);
}

function isWithin(address: string, list: BlockList): boolean {
  const bare = address.replace(/%.*$/, "");
  // What IPv6 only carries (`::ffff:10.0.0.1`) leads to the address of IPv4, and is one of its network.
  const family = isIP(bare);
  return family !== 0 && list.check(bare, family === 4 ? "ipv4" : "ipv6");
}

/**
 * Whether an address belongs to a host of the public Internet. Of IPv6 only global unicast does:
 * loopback, link-local, unique local, IPv4-mapped and translated addresses all lie outside it.
 */
export function isPublicAddress(address: string): boolean {
  const bare = address.replace(/%.*$/, "");
  const family = isIP(bare);
  if (family === 4) return !refused.check(bare, "ipv4");
  if (family === 6) return globalUnicast.check(bare, "ipv6") && !refused.check(bare, "ipv6");
  return false;
}
