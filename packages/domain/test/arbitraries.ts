/** What rejection alone would hardly ever come by: texts with narrow rules. */
import { Arbitrary, DateTime, Schema } from "effect"

const visible = Schema.Literals([
  ..."aZ09 -_.:/'\"\\%é",
  "e\u0301",
  "ß",
  "ẞ",
  "ﬁ",
  "Ａ",
  "ı",
  "İ",
  "Σ",
  "ς",
  "ŉ",
  "ǰ",
  "\u0345",
  "¨",
  "\u00a0",
  "\u3000",
  "東",
  "а",
  "🚀",
  "①",
  "\u1e9b\u0323",
  "ﷺ"
])

/** A name as a server may send it, with spaces around it and whatever Unicode folds. */
export const sentName = Arbitrary.filter(
  Arbitrary.map(Arbitrary.array(Arbitrary.schema(visible), { minLength: 1, maxLength: 12 }), (parts) => parts.join("")),
  (name) => name.trim().length > 0
)

/** A time as RFC 3339 has it, spelled in one of the ways that are allowed. */
export const timestamp = Arbitrary.map(
  Arbitrary.all({
    seconds: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4_102_444_800 }))),
    spelling: Arbitrary.schema(Schema.Literals(["Z", "+00:00", "-23:59"])),
    fraction: Arbitrary.schema(Schema.Literals(["", ".0", ".5", ".123456789"]))
  }),
  ({ fraction, seconds, spelling }) =>
    DateTime.formatIso(DateTime.makeUnsafe(seconds * 1_000)).replace(".000Z", fraction + spelling)
)
