import { describe, expect, it } from "vitest"
import { askedIn, problemWords } from "../src/routes/sign-in/returned.ts"

const fragment = (value: unknown) => `#${Buffer.from(JSON.stringify(value)).toString("base64url")}`

describe("single sign-on", () => {
  it("comes back with what is still asked for", () => {
    const asked = { methods: ["totp", "recovery-code"], passkey: null }
    expect(askedIn(fragment(asked))).toEqual(asked)
  })

  it.each(["", "#", "#not base64", fragment("text"), fragment({ methods: ["magic"], passkey: null })])(
    "takes %j for nothing",
    (hash) => {
      expect(askedIn(hash)).toBe(null)
    }
  )

  it("says what was wrong, also where it does not know the code", () => {
    expect(problemWords("single_sign_on_refused")).toMatch(/there is no admin for you here/)
    expect(problemWords("constructor")).toMatch(/did not work/)
  })
})
