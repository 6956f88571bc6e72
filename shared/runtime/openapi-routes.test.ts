import { gunzipSync } from 'node:zlib'
import { type FastifyInstance, fastify } from 'fastify'
import { describe, expect, onTestFinished, test } from 'vitest'
import { describeApi } from './openapi.ts'
import { addOpenApi } from './openapi-routes.ts'

const DOCUMENT = describeApi({
  ...{ title: 'Trees', version: '1.2.3', description: '', operations: [] },
  ...{ parameters: {}, tags: {}, security: {} },
})

function open(load = async () => DOCUMENT): FastifyInstance {
  const app = fastify({ routerOptions: { ignoreTrailingSlash: true } })
  onTestFinished(() => app.close())
  addOpenApi(app, load)
  return app
}

describe('the document', () => {
  test('is made at its first request, once', async () => {
    let made = 0
    const app = open(async () => {
      made += 1
      return DOCUMENT
    })
    await app.ready()
    expect(made).toBe(0)
    const answers = await Promise.all([app.inject('/openapi.json'), app.inject('/docs/')])
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200])
    const { headers, body } = await app.inject('/openapi.json')
    expect(headers['content-type']).toMatch(/^application\/json/)
    expect(JSON.parse(body)).toEqual(JSON.parse(JSON.stringify(DOCUMENT)))
    expect(made).toBe(1)
  })

  test('is tried again where it could not be made', async () => {
    let isBroken = true
    const app = open(async () => {
      if (isBroken) throw new Error('broken')
      return DOCUMENT
    })
    expect((await app.inject('/openapi.json')).statusCode).toBe(500)
    isBroken = false
    expect((await app.inject('/openapi.json')).statusCode).toBe(200)
  })
})

describe('the page', () => {
  test('comes from here alone, whole, by relative paths', async () => {
    const app = open()
    const { headers, body } = await app.inject('/docs/')
    expect(headers['content-type']).toMatch(/^text\/html/)
    const files = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file = '']) => file)
    expect(files.length).toBeGreaterThan(4)
    for (const file of files) {
      expect(file).toMatch(/^\.\/static\/[\w.-]+$/)
      const asset = await app.inject(`/docs/${file.slice(2)}`)
      expect([file, asset.statusCode, asset.rawPayload.length > 0]).toEqual([file, 200, true])
      expect(asset.headers['content-type']).toMatch(/javascript|css|png/)
      expect(asset.headers['x-content-type-options']).toBe('nosniff')
    }
    expect(body).not.toMatch(/https?:\/\/|<script>|style=/)
    const { body: initializer } = await app.inject('/docs/static/swagger-initializer.js')
    expect(initializer).toContain("url: resolveUrl('./json')")
    expect(initializer).not.toMatch(/https?:\/\/(?!stackoverflow)/)
    expect((await app.inject('/docs/json')).json()).toEqual(JSON.parse(JSON.stringify(DOCUMENT)))
  })

  test('may load nothing from elsewhere, and stand in no frame', async () => {
    const policy = String((await open().inject('/docs/')).headers['content-security-policy'])
    expect(policy).toMatch(/default-src 'none'; script-src 'self'; style-src 'self';/)
    expect(policy).toMatch(/frame-ancestors 'none'/)
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
  })

  test('is sent to where its relative paths begin', async () => {
    const { statusCode, headers } = await open().inject('/docs?x=1')
    expect([statusCode, headers.location]).toEqual([302, 'docs/'])
  })

  test('is not sent again where it is known', async () => {
    const app = open()
    const { headers } = await app.inject('/docs/static/swagger-ui.css')
    const again = await app.inject({
      url: '/docs/static/swagger-ui.css',
      headers: { 'if-none-match': String(headers.etag) },
    })
    expect([again.statusCode, again.body]).toEqual([304, ''])
  })

  test('is sent packed to who takes that', async () => {
    const url = '/docs/static/swagger-ui.css'
    const [plain, packed, weighed] = await Promise.all(
      ['', 'gzip, deflate, br', 'gzip;q=0'].map((encodings) =>
        open().inject({ url, headers: { 'accept-encoding': encodings } }),
      ),
    )
    expect(packed?.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' })
    expect(gunzipSync(packed?.rawPayload ?? '')).toEqual(plain?.rawPayload)
    expect([plain, weighed].map((each) => each?.headers['content-encoding'])).toEqual([undefined, undefined])
  })

  test.each(['/docs/static/none.js', '/docs/..%2f..%2fpackage.json', '/docs/static/..%2f..%2fpackage.json'])(
    'has nothing at %s',
    async (path) => {
      const { statusCode, headers } = await open().inject(path)
      expect([statusCode, headers['content-type']]).toEqual([404, 'application/problem+json; charset=utf-8'])
    },
  )
})
