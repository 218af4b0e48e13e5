/**
 * A real PostgreSQL for tests, of Debian's packages, in a temporary folder and on loopback alone.
 *
 * It refuses to run as root: then it runs as nobody, from a copy that nobody may read.
 * `VECTORD_TEST_POSTGRES` names a folder with the unpacked packages, if they are not to be fetched.
 */

import { chmod, chown, cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
