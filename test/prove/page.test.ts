import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { figure, fixed, heatMap, html, markup, page, percent, table, trusted, when } from '../../src/prove/page.ts'

const SPECIAL: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }
const unescaped = (text: string) => text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => SPECIAL[name])

describe('html', () => {
  it('escapes any text so that it reads back and cannot leave its place', () => {
    const text = fc.string({ unit: fc.constantFrom(...'&<>"\'', 'a', ' ', '/', '=', 'é', '\u{1f600}') })
    fc.assert(
      fc.property(text, value => {
        const escaped = markup(html`${value}`)
        expect(escaped).not.toMatch(/[<>"']/)
        expect(unescaped(escaped)).toBe(value)
      }),
    )
  })

  it('joins lists, drops nothing and keeps markup', () => {
    expect(markup(html`<p>${['a<', html`<b>${1}</b>`, null, undefined, trusted('<i/>')]}</p>`)).toBe(
      '<p>a&lt;<b>1</b><i/></p>',
    )
  })

  it('replaces characters that no document may hold', () => {
    expect(markup(html`${'a\0b\x1bc\nd'}`)).toBe('a\ufffdb\ufffdc\nd')
  })
})

describe('figures', () => {
  it.each([
    [0.41271, '0.413'],
    [-0.41271, '−0.413'],
    [1540, '1,540'],
    [0, '0'],
    [-0.000021, '−2.1e−5'],
    [123456.78, '123,457'],
    [1e18, '1.00e+18'],
    [null, '–'],
    [Number.NaN, '–'],
    [Infinity, '–'],
  ])('%s is written %s', (value, text) => expect(figure(value)).toBe(text))

  it('never writes a negative zero', () => expect(fixed(-0.001, 2)).toBe('0.00'))
  it('writes shares as percent', () => expect([percent(-0.1234), percent(null)]).toEqual(['−12.3 %', '–']))
  it('writes times in UTC, the time of day where there is one', () => {
    expect(when(Date.UTC(2000, 0, 3))).toBe('2000-01-03')
    expect(when(Date.UTC(2000, 0, 3, 14, 5))).toBe('2000-01-03 14:05')
    expect(when(Number.NaN)).toBe('–')
  })
})

describe('tables', () => {
  it('align columns of figures, head rows and columns, and explain what is undefined', () => {
    const text = markup(
      table(
        'c',
        ['name', 'value'],
        [
          ['a', 1.5],
          ['b', null],
        ],
      ),
    )
    expect(text).toContain('<th scope="col" class="t">name</th><th scope="col" class="n">value</th>')
    expect(text).toContain('<th scope="row" class="t">b</th><td class="n">–</td>')
    expect(text).toContain('It is never zero')
    expect(markup(table('c', ['name', 'value'], [['a', 1.5]]))).not.toContain('never zero')
  })

  it('tint a heat map by distance from zero where there are both signs', () => {
    const heat = { caption: 'c', corner: 'model', rows: ['a'], columns: ['1', '2', '3'], chosen: { row: 0, column: 1 } }
    const cells = (values: (number | null)[]) => markup(heatMap({ ...heat, values: [values] })).match(/<td.*?<\/td>/g)
    expect(cells([-1, 2, null])).toEqual([
      '<td class="down" style="--tint:28%">−1.00</td>',
      '<td class="up chosen" style="--tint:55%">2.00</td>',
      '<td class="up" style="--tint:0%">–</td>',
    ])
    expect(cells([5, 6, 7])!.map(cell => cell.match(/tint:(\d+)/)![1])).toEqual(['0', '28', '55'])
    expect(cells([5, 5, 5])!.map(cell => cell.match(/tint:(\d+)/)![1])).toEqual(['0', '0', '0'])
  })
})

describe('style', () => {
  const style = page('', html``).match(/<style>(.*)<\/style>/s)![1]
  const [light, dark] = [...style.matchAll(/:root \{(.*?)\}/g)].map(([, block]) =>
    Object.fromEntries([...block.matchAll(/--(\w+): (#\w{6})/g)].map(([, name, hex]) => [name, rgb(hex)])),
  )

  it.each([
    ['light', light],
    ['dark', dark],
  ])('has enough contrast in the %s scheme (WCAG 2.2)', (_, color) => {
    for (const text of ['ink', 'muted', 'strategy', 'benchmark', 'pass', 'fail'])
      expect(contrast(color[text], color.paper), text).toBeGreaterThan(4.5)
    for (const hue of ['more', 'less'])
      expect(contrast(color.ink, mix(color[hue], color.paper, 0.55)), hue).toBeGreaterThan(4.5)
  })

  it('defines the same colours in both schemes', () => expect(Object.keys(dark)).toEqual(Object.keys(light)))
})

const rgb = (hex: string) => [1, 3, 5].map(at => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
const mix = (a: number[], b: number[], share: number) => a.map((v, i) => share * v + (1 - share) * b[i])
const luminance = (color: number[]) =>
  color
    .map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)

function contrast(a: number[], b: number[]): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y)
  return (high + 0.05) / (low + 0.05)
}
