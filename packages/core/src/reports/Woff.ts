/**
 * Fonts as packages bring them (WOFF 1.0), unpacked to what is in them: fontkit unpacks a table each time that it looks at
 * one, which takes seconds for a large font.
 */
import { inflateSync } from "node:zlib"

const woff = { signature: 0x774f4646, header: 44, entry: 20 }
const sfnt = { header: 12, entry: 16 }

const evenly = (bytes: number) => Math.ceil(bytes / 4) * 4

/** The same font as TrueType or OpenType. */
export const unpack = (file: Buffer): Buffer => {
  if (file.readUInt32BE(0) !== woff.signature) throw new Error("The font is not in WOFF 1.0.")
  const count = file.readUInt16BE(12)
  const tables = Array.from({ length: count }, (_, index) => {
    const at = woff.header + index * woff.entry
    const [offset, packed, length] = [file.readUInt32BE(at + 4), file.readUInt32BE(at + 8), file.readUInt32BE(at + 12)]
    const stored = file.subarray(offset, offset + packed)
    return {
      tag: file.subarray(at, at + 4),
      checksum: file.readUInt32BE(at + 16),
      content: packed < length ? inflateSync(stored) : stored
    }
  })
  const power = Math.floor(Math.log2(count))
  const head = Buffer.alloc(sfnt.header + count * sfnt.entry)
  head.writeUInt32BE(file.readUInt32BE(4), 0)
  head.writeUInt16BE(count, 4)
  head.writeUInt16BE(16 * 2 ** power, 6)
  head.writeUInt16BE(power, 8)
  head.writeUInt16BE(16 * count - 16 * 2 ** power, 10)
  let offset = head.length
  const parts: Array<Buffer> = [head]
  for (const [index, { checksum, content, tag }] of tables.entries()) {
    const at = sfnt.header + index * sfnt.entry
    tag.copy(head, at)
    head.writeUInt32BE(checksum, at + 4)
    head.writeUInt32BE(offset, at + 8)
    head.writeUInt32BE(content.length, at + 12)
    const padded = evenly(content.length)
    parts.push(content, Buffer.alloc(padded - content.length))
    offset += padded
  }
  return Buffer.concat(parts)
}
