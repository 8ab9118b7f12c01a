/** Numbers as people read them. */

const grouped = new Intl.NumberFormat("en-GB")

export const count = (value: number) => grouped.format(value)

export const plural = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`

const binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const

/** Bytes in binary units with two or three digits. */
export const bytes = (value: number) => {
  const at = Math.min(binary.length - 1, value < 1 ? 0 : Math.floor(Math.log2(value) / 10))
  const scaled = value / 1024 ** at
  return `${scaled < 10 && at > 0 ? scaled.toFixed(1) : Math.round(scaled)} ${binary[at]}`
}

export const percent = (share: number) => `${Math.round(share * 100)} %`

/** Milliseconds, with a tenth where they are few. */
export const milliseconds = (value: number) => `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ms`

/** Seconds, with a tenth where they are few. */
export const seconds = (value: number) => {
  if (value < 10) return `${value.toFixed(1)} s`
  return value < 120 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`
}
