import { describe, expect, it } from "vitest"
import { deviceOf } from "../src/lib/device.ts"
import { digitsOf, recoveryCodeOf } from "../src/lib/factors.ts"

describe("device", () => {
  it.each([
    [
      "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
      "Edge 142 on Windows",
      "desktop"
    ],
    ["Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox 145 on Linux", "desktop"],
    [
      "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
      "Safari 18 on macOS",
      "desktop"
    ],
    [
      "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
      "Safari 18 on iPhone",
      "phone"
    ],
    [
      "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
      "Chrome 141 on Android",
      "phone"
    ],
    [
      "Mozilla/5.0 (Linux; Android 14; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Safari/537.36",
      "Samsung Internet 28 on Android",
      "tablet"
    ],
    [
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
      "Chrome 142 on Linux",
      "desktop"
    ],
    ["curl/8.5.0", "curl 8.5.0", "program"],
    ["Mozilla/5.0 (Windows NT 10.0)", "A browser on Windows", "desktop"],
    ["<script>alert(1)</script>", "Unknown program", "program"],
    ["", "Unknown device", "program"],
    [null, "Unknown device", "program"]
  ])("reads %j as %s", (userAgent, words, kind) => {
    expect(deviceOf(userAgent)).toEqual({ words, kind })
  })
})

describe("codes", () => {
  it("takes the digits of a code however it is typed", () => {
    expect(digitsOf("123 456")).toBe("123456")
    expect(digitsOf(" 12-34-56-78")).toBe("123456")
  })

  it("takes a recovery code however it is typed", () => {
    expect(recoveryCodeOf(" 3F7KA 9xwqt ")).toBe("3f7ka-9xwqt")
    expect(recoveryCodeOf("3f7ka-9xwqt")).toBe("3f7ka-9xwqt")
    expect(recoveryCodeOf("3f7")).toBe("3f7")
  })
})
