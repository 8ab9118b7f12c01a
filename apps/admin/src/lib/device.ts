/** What a browser calls itself, in words. It may say anything, so this is a help to recognise it and nothing more. */

export interface Device {
  readonly kind: "desktop" | "phone" | "tablet" | "program"
  /** "Firefox on Windows". */
  readonly words: string
}

type Names = ReadonlyArray<readonly [RegExp, string]>

/** Those that name others beside themselves come first. */
const browsers: Names = [
  [/\bEdg(?:e|A|iOS)?\/(\d+)/, "Edge"],
  [/\bOPR\/(\d+)/, "Opera"],
  [/\bSamsungBrowser\/(\d+)/, "Samsung Internet"],
  [/\bVivaldi\/(\d+)/, "Vivaldi"],
  [/\b(?:Firefox|FxiOS)\/(\d+)/, "Firefox"],
  [/\b(?:HeadlessChrome|Chromium|Chrome|CriOS)\/(\d+)/, "Chrome"],
  [/\bVersion\/(\d+)[.\d]* (?:Mobile\/\S+ )?Safari\//, "Safari"]
]

const systems: Names = [
  [/\biPhone\b/, "iPhone"],
  [/\biPad\b/, "iPad"],
  [/\bAndroid\b/, "Android"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b|\bMacintosh\b/, "macOS"],
  [/\bLinux\b|\bX11\b/, "Linux"]
]

const kindOf = (userAgent: string): Device["kind"] => {
  if (/\biPad\b/.test(userAgent) || (/\bAndroid\b/.test(userAgent) && !/\bMobile\b/.test(userAgent))) return "tablet"
  return /\biPhone\b|\bMobile\b/.test(userAgent) ? "phone" : "desktop"
}

/** "curl/8.5.0" and its like: a name with a version, and no browser. */
const program = /^([\w.-]{1,40})\/([\w.-]{1,20})/

export const deviceOf = (userAgent: string | null): Device => {
  if (userAgent === null || userAgent.trim() === "") return { kind: "program", words: "Unknown device" }
  const browser = browsers.flatMap(([pattern, name]) => {
    const version = pattern.exec(userAgent)?.[1]
    return version === undefined ? [] : [`${name} ${version}`]
  })[0]
  const system = systems.find(([pattern]) => pattern.test(userAgent))?.[1]
  if (browser !== undefined) {
    return { kind: kindOf(userAgent), words: system === undefined ? browser : `${browser} on ${system}` }
  }
  const named = program.exec(userAgent)
  if (named !== null && named[1] !== "Mozilla") return { kind: "program", words: `${named[1]} ${named[2]}` }
  return system === undefined
    ? { kind: "program", words: "Unknown program" }
    : { kind: kindOf(userAgent), words: `A browser on ${system}` }
}
