/**
 * Lint rules: typescript-eslint's strict set with types, plus the bounds of docs/STYLE.md.
 *
 * Shape (quotes, line width) is Prettier's; import directions are dependency-cruiser's.
 */

import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'

/** `node:test` reports a failing test itself, so its promise need not be awaited. */
const KNOWN_SAFE_CALLS = [
  {
    from: 'package',
    package: 'node:test',
    name: ['it', 'describe', 'test', 'suite', 'before', 'after', 'beforeEach', 'afterEach'],
  },
]

const NODE_GLOBALS = Object.fromEntries(
  ['Buffer', 'URL', 'console', 'fetch', 'module', 'process', 'require', 'setTimeout'].map(
    (name) => [name, 'readonly'],
  ),
)

const CORE_RULES = Object.fromEntries(
  [
    'eqeqeq',
    'no-cond-assign',
    'no-constant-condition',
    'no-control-regex',
    'no-dupe-else-if',
    'no-empty',
    'no-fallthrough',
    'no-irregular-whitespace',
    'no-self-assign',
    'no-unreachable',
    'no-unsafe-finally',
    'no-useless-escape',
    'no-var',
    'prefer-const',
  ].map((name) => [name, 'error']),
)

export default defineConfig(
  {
    ignores: [
      'node_modules/',
      'data/',
      'coverage/',
      'bench/cache/',
      'web/dist/',
      'client/api-types.ts',
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  { rules: CORE_RULES },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    languageOptions: { globals: NODE_GLOBALS },
    rules: { 'no-undef': 'error', 'no-unused-vars': 'error' },
  },
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // A switch counts once: unions are switched exhaustively, however many kinds they have.
      complexity: ['error', { max: 10, variant: 'modified' }],
      'max-depth': ['error', 3],
      'max-lines': ['error', { max: 400, skipBlankLines: false, skipComments: false }],
      'max-lines-per-function': ['error', { max: 60, skipComments: true }],
      'max-params': ['error', 4],
      'no-console': 'error',
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'Exports have names.' },
        { selector: 'ExportAllDeclaration', message: 'No barrels: import from the file itself.' },
      ],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: KNOWN_SAFE_CALLS },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      // `async` without `await` is how a method keeps the promise to reject and never to throw.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ['web/src/**'],
    languageOptions: {
      parserOptions: { project: './web/tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
  },
  {
    files: ['web/src/**/*.tsx'],
    rules: {
      // A component describes what is seen: each part that may be missing counts as a branch.
      complexity: ['error', { max: 20, variant: 'modified' }],
      'max-lines-per-function': ['error', { max: 80, skipComments: true }],
    },
  },
  {
    files: ['web/src/assets.d.ts'],
    // That is how the build exports an address.
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'max-lines-per-function': 'off',
      // Helpers of tests are object literals that are taken apart; none of them uses `this`.
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  { files: ['bench/**'], rules: { 'no-console': 'off' } },
)
