// Seeded random numbers that are the same on every machine. Not for secrets.

export interface Random {
  /** Uniform in [0, 1), 53 bits. */
  next(): number
  /** Standard normal. */
  normal(): number
}

/** xoshiro128** (Blackman & Vigna 2018), its state filled from `seed` by splitmix32; equal integer seeds (mod 2^32) give equal streams. */
export function random(seed: number): Random {
  const split = splitmix32(seed)
  let a = split()
  let b = split()
  let c = split()
  let d = split()

  const bits = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9)
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotate(d, 11)
    return result >>> 0
  }
  const next = () => ((bits() >>> 5) * 2 ** 26 + (bits() >>> 6)) / 2 ** 53

  let spare = Number.NaN
  /** Marsaglia's polar method (1964): no trigonometry, two values a draw. */
  const normal = (): number => {
    if (!Number.isNaN(spare)) {
      const kept = spare
      spare = Number.NaN
      return kept
    }
    for (;;) {
      const u = 2 * next() - 1
      const v = 2 * next() - 1
      const s = u * u + v * v
      if (s === 0 || s >= 1) continue
      const scale = Math.sqrt((-2 * Math.log(s)) / s)
      spare = v * scale
      return u * scale
    }
  }
  return { next, normal }
}

const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k))

/** Steele, Lea & Flood (2014), the 32-bit variant; it never fills the four words with zeros only. */
function splitmix32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return z ^ (z >>> 15)
  }
}
