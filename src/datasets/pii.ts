/**
 * What a column seems to hold of people: told by its name and by a sample of its values.
 *
 * A flag is a hint for whoever decides who may see the dataset, not a proof. Values alone flag what has
 * a form that other things do not have: e-mail addresses, card numbers with a right check digit,
 * social security numbers with their dashes, phone numbers with a plus or the punctuation of one.
 * What has no form of its own, such as names and addresses, is told by the name of the column; and
 * so is a number without punctuation, which might be anything.
 */

import type { Cell } from '../domain/table.ts'

export const PII_FLAGS = ['name', 'email', 'phone', 'ssn', 'card', 'address'] as const
export type PiiFlag = (typeof PII_FLAGS)[number]

/** Share of the values from which the form counts: some rows of every table are odd. */
const SHARE_MIN = 0.5
const VALUE_CHARS_MAX = 256

/**
 * @param values a sample of the cells; nulls say nothing.
 * @returns in the order of `PII_FLAGS`, each once.
 */
export function detectPii(column: string, values: readonly Cell[]): readonly PiiFlag[] {
  const words = wordsOf(column)
  const texts = textsOf(values)
  return PII_FLAGS.filter((flag) => isFlagged(flag, words, texts))
}

function isFlagged(flag: PiiFlag, words: readonly string[], texts: readonly string[]): boolean {
  const { named, form, plain } = SIGNS[flag]
  if (form !== null && share(texts, form) >= SHARE_MIN) return true
  if (!named(words)) return false
  // A flag or a count of such a name is no such thing.
  return texts.length === 0 || share(texts, (text) => plain(text, words)) >= SHARE_MIN
}

interface Signs {
  /** Whether a column of this name has it, if its values may be such. */
  readonly named: (words: readonly string[]) => boolean
  /** A form that nothing else has; null where there is none. */
  readonly form: ((text: string) => boolean) | null
  /** What a value may look like where the name of the column tells. */
  readonly plain: (text: string, words: readonly string[]) => boolean
}

const SIGNS: Readonly<Record<PiiFlag, Signs>> = {
  name: { named: isNameOfPerson, form: null, plain: isNameLike },
  email: { named: hasAny('email', 'mail'), form: isEmail, plain: isEmail },
  phone: {
    named: hasAny('phone', 'telephone', 'mobile', 'cell', 'cellphone', 'tel', 'fax', 'msisdn'),
    form: isWrittenPhone,
    plain: isPhoneLike,
  },
  ssn: { named: isNameOfSsn, form: isWrittenSsn, plain: isSsnLike },
  card: { named: isNameOfCard, form: isCard, plain: isCard },
  address: { named: isNameOfAddress, form: null, plain: isAddressLike },
}

/** The words of a name such as `customerEmail`, `CUSTOMER_EMAIL` or `customer-email`. */
function wordsOf(column: string): readonly string[] {
  return column
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
    .flatMap((word) => COMPOUNDS.get(word) ?? [word])
}

const COMPOUNDS = new Map([
  ['firstname', ['first', 'name']],
  ['lastname', ['last', 'name']],
  ['middlename', ['middle', 'name']],
  ['fullname', ['full', 'name']],
  ['phonenumber', ['phone', 'number']],
  ['cardnumber', ['card', 'number']],
  ['creditcard', ['credit', 'card']],
  ['emailaddress', ['email']],
  ['mailaddress', ['email']],
  ['zipcode', ['zip', 'code']],
  ['postalcode', ['postal', 'code']],
  ['streetaddress', ['street', 'address']],
])

function hasAny(...wanted: readonly string[]): (words: readonly string[]) => boolean {
  return (words) => words.some((word) => wanted.includes(word))
}

const isPersonal = hasAny('first', 'last', 'middle', 'full', 'given', 'family', 'maiden', 'legal')
const isPerson = hasAny(
  ...[
    'person',
    'customer',
    'client',
    'employee',
    'patient',
    'contact',
    'author',
    'owner',
    'member',
  ],
  ...['passenger', 'student', 'teacher', 'manager', 'holder', 'cardholder', 'recipient', 'sender'],
  ...['user', 'guest', 'driver', 'tenant', 'applicant', 'beneficiary'],
)
const hasSurname = hasAny('surname', 'forename', 'firstname', 'lastname', 'fname', 'lname')

/** `file_name` and `index_name` are names of other things. */
function isNameOfPerson(words: readonly string[]): boolean {
  if (hasSurname(words) || isBareName(words)) return true
  if (!words.includes('name')) return false
  return isPersonal(words) || isPerson(words)
}

/** May be that of a product: then its values must look like those of people. */
function isBareName(words: readonly string[]): boolean {
  return words.length === 1 && (words[0] === 'name' || words[0] === 'names')
}

const isSsnWord = hasAny('ssn', 'sin', 'nino', 'nin')

function isNameOfSsn(words: readonly string[]): boolean {
  if (isSsnWord(words)) return true
  return words.includes('social') && words.includes('security')
}

const isCardKind = hasAny('credit', 'debit', 'payment', 'bank')

function isNameOfCard(words: readonly string[]): boolean {
  if (hasAny('pan', 'cc')(words)) return true
  if (!words.includes('card')) return false
  return isCardKind(words) || hasAny('number', 'no', 'num')(words)
}

const isPlaceWord = hasAny('street', 'postcode', 'zip', 'zipcode')
/** Addresses of other things than places. */
const isOtherAddress = hasAny(
  'ip',
  'email',
  'mail',
  'mac',
  'web',
  'url',
  'memory',
  'wallet',
  'ipv4',
  'ipv6',
)

function isNameOfAddress(words: readonly string[]): boolean {
  if (isOtherAddress(words)) return false
  if (isPlaceWord(words) || hasAny('address', 'addr')(words)) return true
  return words.includes('postal') && words.includes('code')
}

function textsOf(values: readonly Cell[]): readonly string[] {
  const texts: string[] = []
  for (const value of values) {
    // Flags and vectors are no texts; the name of their column says nothing of people either.
    if (value === null || value instanceof Uint8Array) continue
    const text = (value instanceof Float32Array ? '[]' : String(value)).trim()
    if (text !== '') texts.push(text.slice(0, VALUE_CHARS_MAX))
  }
  return texts
}

function share(texts: readonly string[], is: (text: string) => boolean): number {
  if (texts.length === 0) return 0
  return texts.filter(is).length / texts.length
}

const EMAIL =
  /^[^\s@<>"',;:()[\]\\]{1,64}@(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+\p{L}{2,24}$/u

function isEmail(text: string): boolean {
  return EMAIL.test(text)
}

function digitsOf(text: string): string {
  return text.replace(/\D/g, '')
}

const PHONE_CHARS = /^\+?[\d\s().\-/]+(?:\s*(?:x|ext\.?)\s*\d{1,6})?$/i
const DATE_LIKE = /^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|^\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\b/
const IP_LIKE = /^\d{1,3}(?:\.\d{1,3}){3}$/

/** With a plus, or grouped as `(555) 123-4567`, `555-123-4567` or `06 12 34 56 78`. */
function isWrittenPhone(text: string): boolean {
  if (!isPhoneLike(text)) return false
  if (/^\+[1-9]/.test(text)) return true
  return PHONE_GROUPS.some((pattern) => pattern.test(text))
}

const PHONE_GROUPS = [
  /^(?:1[\s.-])?\(\d{2,4}\)[\s.-]?\d{3,4}[\s.-]\d{3,4}/,
  /^(?:1[\s.-])?\d{3}[\s.-]\d{3}[\s.-]\d{4}(?:\D|$)/,
  /^0\d(?:[\s.-]\d{2}){4}$/,
  /^0\d{2,4}[\s/]\d{3,8}(?:[\s-]\d{2,4})?$/,
]

/** 7 to 15 digits and the punctuation of a phone number; no date, no decimal, no IP address. */
function isPhoneLike(text: string): boolean {
  if (!PHONE_CHARS.test(text) || DATE_LIKE.test(text) || IP_LIKE.test(text)) return false
  if (/^-|^\d+\.\d+$/.test(text)) return false
  const { length } = digitsOf(text.replace(/(?:x|ext).*$/i, ''))
  return length >= 7 && length <= 15
}

/** Of the United States, as they were given out: no group of zeros, no 666, no 9xx. */
const SSN = /^(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}$/

function isWrittenSsn(text: string): boolean {
  return SSN.test(text)
}

function isSsnLike(text: string): boolean {
  return (
    isWrittenSsn(text) ||
    /^\d{9}$|^\d{3} \d{2,3} \d{3,4}$|^[A-Z]{2}\s?(?:\d{2}\s?){3}[A-D]$/i.test(text)
  )
}

/** Grouped as cards are printed, or not at all. */
const CARD = /^(?:\d{13,19}|\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{1,7}|\d{4}[ -]\d{6}[ -]\d{4,5})$/
/** First digits of the large networks: about one number in ten passes the check digit by chance. */
const ISSUER = /^(?:4|5[1-5]|2[2-7]|3[47]|3[068]|35|6(?:011|4|5|2))/

function isCard(text: string): boolean {
  const digits = digitsOf(text)
  return CARD.test(text) && ISSUER.test(digits) && isLuhn(digits)
}

/** Whether the check digit at the end is right. */
function isLuhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i += 1) {
    const digit = Number(digits[digits.length - 1 - i])
    const doubled = i % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0 && /[1-9]/.test(digits)
}

function isNameLike(text: string, words: readonly string[]): boolean {
  if (isBareName(words)) return PERSON.test(text)
  return text.length <= 100 && /\p{L}/u.test(text) && !NO_NAME.test(text) && !isBoolean(text)
}

const NO_NAME = /[\d@_/\\{}[\]<>]/

/** Two to four words, each with a capital: `Ada Lovelace`, `J. R. R. Tolkien`, `Ludwig van Beethoven`. */
const PERSON =
  /^\p{Lu}[\p{L}'’.-]*(?: (?:(?:van|von|de|del|della|di|da|der|den|la|le|bin|al) ){0,2}\p{Lu}[\p{L}'’.-]*){1,3}$/u

function isAddressLike(text: string): boolean {
  return /[\p{L}\p{N}]/u.test(text) && !/^(?:\d{1,3}|-?\d+\.\d+)$/.test(text) && !isBoolean(text)
}

function isBoolean(text: string): boolean {
  return /^(?:true|false|yes|no|t|f|y|n)$/i.test(text)
}
