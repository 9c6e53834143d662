/** Bugs in proving who is calling: tokens, keys, certificates, and the limits on guessing. */
import type { Bug } from '../bug.ts'

const auth = 'packages/server/src/auth'
const tokens = (name: string) => ({ file: `${auth}/tokens.test.ts`, name })
const keySets = (name: string) => ({ file: `${auth}/key-sets.test.ts`, name })
const keys = (name: string) => ({ file: `${auth}/api-keys.test.ts`, name })
const limits = (name: string) => ({ file: `${auth}/login-limits.test.ts`, name })
const ownTokens = (name: string) => ({ file: `${auth}/own-tokens.test.ts`, name })
const whole = (name: string) => ({ file: `${auth}/authenticator.test.ts`, name })

export const identityBugs: readonly Bug[] = [
  {
    id: 'signature-not-checked',
    rules: ['V6'],
    does: 'A token that says the right things is believed, whoever signed it.',
    file: `${auth}/tokens.ts`,
    find: "    if ('is' in claims && claims.is === 'wrong') return { verdict: wrong }\n    const identity = 'is' in claims ? null : identityOf(claims.payload,",
    replace: '    const identity = identityOf(decodeJwt(text),',
    test: tokens('a token that another key has signed, or that was changed since, is wrong'),
  },
  {
    id: 'any-audience',
    rules: ['V6'],
    does: 'A token that somebody gave to another service opens this one.',
    file: `${auth}/tokens.ts`,
    find: '...(issuer.audiences.length > 0 && { audience: [...issuer.audiences] }),',
    replace: '',
    test: tokens('a token for another audience, or of another issuer, is not for us'),
  },
  {
    id: 'remembered-for-ever',
    rules: ['V6'],
    does: 'A token that was good once is good for as long as it is remembered.',
    file: `${auth}/tokens.ts`,
    find: '      if (this.#clock.wallMs() >= remembered.expiresAtMs) return refused\n',
    replace: '',
    test: tokens(
      'a token is good up to the clock skew after it expires, and not a millisecond longer, remembered or not',
    ),
  },
  {
    id: 'withdrawn-key-goes-on',
    rules: ['V6'],
    does: 'An issuer withdraws a stolen key, and what the thief has shown before goes on being good.',
    file: `${auth}/tokens.ts`,
    find: 'if (!remembered.key.isWithdrawn) return remembered.verdict',
    replace: 'return remembered.verdict',
    test: keySets('a remembered token is forgotten with its key long before it expires'),
  },
  {
    id: 'keys-of-any-issuer',
    rules: ['V6'],
    does: 'Discovery is believed whatever issuer it is of.',
    file: `${auth}/key-sets.ts`,
    find: 'if (found?.issuer !== issuer) throw',
    replace: 'if (!found) throw',
    test: keySets('discovery is believed only if it is of the issuer itself'),
  },
  {
    id: 'away-means-wrong',
    rules: ['V6'],
    does: 'While the issuer is away, good tokens are answered like forged ones, and clients give up.',
    file: `${auth}/key-sets.ts`,
    find: '    if (this.#hasFailed)\n',
    replace: '    if (this.#hasFailed && this.#keys.size < 0)\n',
    test: keySets('while the issuer is away its known keys go on, and what names another cannot be decided'),
  },
  {
    id: 'no-cooldown',
    rules: ['V6'],
    does: 'Whoever makes up names of keys has this server ask the issuer as often as they like.',
    file: `${auth}/key-sets.ts`,
    find: 'if (this.#mayFetch()) {',
    replace: 'if (this.#mayFetch() || wanted.kid) {',
    test: keySets('names of keys that nobody knows cause one fetch in COOLDOWN_MS'),
  },
  {
    id: 'revoked-key-opens',
    rules: ['V6'],
    does: 'A revoked key goes on opening.',
    file: `${auth}/api-keys.ts`,
    find: "    if (state !== 'active') return ended\n",
    replace: '',
    test: keys('a revoked key has ended at once, and whoever has not its secret does not learn that'),
  },
  {
    id: 'unknown-key-answers-sooner',
    rules: ['V6'],
    does: 'How long the answer takes tells whether there is a key of that id.',
    file: `${auth}/api-keys.ts`,
    find: '    const isRight = this.#work',
    replace: '    if (!record) return wrong\n    const isRight = this.#work',
    test: keys('the same work is done whether the key is known, wrong, revoked, or nobody has heard of it'),
  },
  {
    id: 'guessing-is-free',
    rules: ['V6'],
    does: 'Failures are counted, and nothing is done about them for keys that have been guessed at from many addresses.',
    file: `${auth}/login-limits.ts`,
    find: 'const longestMs = Math.max(...waits)',
    replace: 'const longestMs = waits[0] ?? 0',
    test: limits('KEY_FAILURES_MAX failures with the id of one key are borne, wherever they come from'),
  },
  {
    id: 'good-once-guess-for-ever',
    rules: ['V6'],
    does: 'Whoever was in from an address may guess from there without limit.',
    file: `${auth}/login-limits.ts`,
    find: "digest.toString('latin1')}@",
    replace: 'digest.length}@',
    test: limits(
      'a credential that was good from an address is looked at when it comes from there again, and nothing else is',
    ),
  },
  {
    id: 'certificate-for-a-wrong-token',
    rules: ['V6'],
    does: 'Whoever sends a wrong token is let in for a certificate that came along.',
    file: `${auth}/authenticator.ts`,
    find: '  if (text === null) return null\n',
    replace: '  if (text === null) return certified(parts, certificate)\n',
    test: whole('a certificate says who is calling only where that is wanted, and only if nothing else does'),
  },
  {
    id: 'raw-keys-beside-ibm',
    rules: ['V6'],
    does: 'API keys open the data plane beside IBM Cloud IAM, though nobody has said so.',
    file: 'packages/server/src/config/issuers.ts',
    find: "acceptRawKeys === '' ? !isBesideIbm :",
    replace: "acceptRawKeys === '' ? true :",
    test: {
      file: 'packages/server/src/config/issuers.test.ts',
      name: 'raw keys are off beside an issuer of IBM Cloud IAM, and wherever it is said',
    },
  },
  {
    id: 'stolen-key-without-a-name',
    rules: ['V6'],
    does: 'The use of a key that was revoked is noted without the name of the key: nobody learns that it was stolen.',
    file: 'packages/server/src/auth/stranger.ts',
    find: '  const verdict = new ApiKeys(',
    replace: '  return nobody\n  const verdict = new ApiKeys(',
    test: {
      file: 'packages/server/src/http/strangers.test.ts',
      name: 'whoever goes on using a revoked key is in the trail by its name, whichever door they try',
    },
  },
  {
    id: 'token-outlives-its-key',
    rules: ['V6'],
    does: 'A token of our own goes on being good when the key that it was given for has been revoked.',
    file: `${auth}/own-tokens.ts`,
    find: "    if (verdict.is !== 'valid') return refused\n    const { identity } = verdict\n",
    replace:
      "    if (verdict.is !== 'valid') return last ? { is: 'valid', identity: last.made } : refused\n    const { identity } = verdict\n",
    test: ownTokens('a token ends with its key: revoked, expired or deleted, from the next request on'),
  },
  {
    id: 'own-token-for-any-key',
    rules: ['V6'],
    does: 'What a token of our own says is believed, whoever signed it.',
    file: `${auth}/own-tokens.ts`,
    find: '      if (error instanceof joseErrors.JOSEError) return wrong\n      throw error\n',
    replace:
      '      return this.#standing({ credential: String(decodeJwt(text).credential), kid, expiresAtMs: endOf(text), last: null })\n',
    test: ownTokens('what nobody here has signed, or has signed for something else, is no token of ours'),
  },
]
