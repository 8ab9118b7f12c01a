/** The people of the demo, and their devices: where they are, and how they behave. */

/**
 * - `honest`: counts what it sends and receives
 * - `boastful`: reports more than it received, so that both sides' bytes do not match
 * - `vanishing`: goes without a word, so that only the server tells the end
 */
export type Manner = "honest" | "boastful" | "vanishing"

export interface Device {
  readonly name: string
  readonly platform: "linux" | "macos" | "windows" | "ios" | "android"
  /** Near which city it is. */
  readonly city: string
  readonly near: { readonly latitude: number; readonly longitude: number }
  readonly manner: Manner
}

export interface Person {
  readonly name: string
  readonly email: string
  readonly devices: ReadonlyArray<Device>
}

const cities = {
  Frankfurt: [50.11, 8.68],
  Berlin: [52.52, 13.4],
  Amsterdam: [52.37, 4.9],
  London: [51.51, -0.13],
  Paris: [48.86, 2.35],
  Madrid: [40.42, -3.7],
  "New York": [40.71, -74.01],
  Chicago: [41.88, -87.63],
  "San Francisco": [37.77, -122.42],
  "São Paulo": [-23.55, -46.63],
  Singapore: [1.35, 103.82],
  Tokyo: [35.68, 139.69],
  Sydney: [-33.87, 151.21],
  Nairobi: [-1.29, 36.82]
} as const

const device = (
  name: string,
  platform: Device["platform"],
  city: keyof typeof cities,
  manner: Manner = "honest"
): Device => {
  const [latitude, longitude] = cities[city]
  return { name, platform, city, near: { latitude, longitude }, manner }
}

const person = (name: string, ...devices: ReadonlyArray<Device>): Person => ({
  name,
  email: `${name.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replaceAll(" ", ".")}@example.com`,
  devices
})

/** Thirty devices of twenty-two people. */
export const people: ReadonlyArray<Person> = [
  person(
    "Ada Lindqvist",
    device("ada-laptop", "macos", "Frankfurt"),
    device("Ada's phone", "ios", "Frankfurt"),
    device("ada-tablet", "ios", "Berlin")
  ),
  person("Bruno Keller", device("bk-workstation", "linux", "Frankfurt"), device("Pixel 9", "android", "Frankfurt")),
  person("Chiara Rossi", device("chiara-mbp", "macos", "Paris"), device("Chiara's iPhone", "ios", "Paris")),
  person("Daniel Okafor", device("DESKTOP-7QK2", "windows", "London"), device("okafor-phone", "android", "London")),
  person("Emma de Vries", device("emma-xps", "linux", "Amsterdam")),
  person("Farid Haddad", device("farid-pc", "windows", "Paris", "boastful")),
  person("Grace Park", device("grace-air", "macos", "New York"), device("Grace's iPhone", "ios", "New York")),
  person("Hiro Tanaka", device("hiro-thinkpad", "linux", "Tokyo"), device("hiro-phone", "android", "Tokyo")),
  person("Ines Carvalho", device("ines-laptop", "windows", "São Paulo")),
  person("Jonas Weber", device("jonas-nuc", "linux", "Berlin")),
  person("Kavya Iyer", device("kavya-mbp", "macos", "Singapore"), device("Kavya's phone", "android", "Singapore")),
  person("Liam Murphy", device("LIAM-PC", "windows", "Chicago")),
  person("Mei Lin", device("mei-imac", "macos", "Singapore")),
  person("Noah Smith", device("noah-laptop", "windows", "New York")),
  person("Olga Ivanova", device("olga-phone", "android", "Berlin", "vanishing")),
  person("Pablo García", device("pablo-surface", "windows", "Madrid")),
  person("Quinn Taylor", device("quinn-arch", "linux", "San Francisco")),
  person("Rosa Mbeki", device("rosa-phone", "android", "Nairobi")),
  person("Sven Larsen", device("sven-desktop", "linux", "Amsterdam")),
  person("Tara Wilson", device("tara-ipad", "ios", "Sydney")),
  person("Umar Aziz", device("umar-laptop", "windows", "London")),
  person("Vera Novak", device("vera-mac-mini", "macos", "Frankfurt"))
]
