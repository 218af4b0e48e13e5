/**
 * What goes over the wire, as `/openapi.json` says: written by `npm run client:types`.
 */

export interface paths {
  '/admin/preload': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Bring a model into memory, beside the GPU slot */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @description As the model server calls it; without a tag it means `latest`. */
            model: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              keep_alive: string
              model: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/admin/unload': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Take a model out of memory, also that of the active profile */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @description As the model server calls it; without a tag it means `latest`. */
            model: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              model: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/admin/vram': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Models in the memory of the model server, and the GPUs of this machine */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Empty where this machine has no nvidia-smi. */
              gpus: {
                free_bytes: number | null
                index: number
                name: string
                total_bytes: number | null
                /** @description By every process. */
                used_bytes: number | null
                utilization: number | null
                uuid: string
              }[]
              gpus_error: string | null
              /** @description What the model server has in memory. */
              models: {
                bytes: number
                expires_at: string | null
                model: string
                /** @description Of these, on a GPU. */
                vram_bytes: number
              }[]
              /** @description Of all these models. */
              models_vram_bytes: number
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/cores': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** The cores: state, queue, restarts */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              cores: {
                [key: string]: unknown
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/datasets': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** List the datasets of a bucket */
    get: {
      parameters: {
        query?: {
          bucket?: string
          cursor?: string
          limit?: number
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              datasets: {
                bucket: string
                bytes: number
                changed_at: string
                changed_by: string
                columns: number
                name: string
                parts: number
                /** @description What some column seems to hold. */
                pii: ('name' | 'email' | 'phone' | 'ssn' | 'card' | 'address')[]
                revision: number
                rows: number
              }[]
              /** @description Datasets that could not be read. */
              errors: {
                code: string
                message: string
                name: string
              }[]
              next_cursor: string | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/datasets/{name}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Read what a dataset holds and where it came from */
    get: {
      parameters: {
        query?: {
          bucket?: string
        }
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              bytes: number
              changed_at: string
              changed_by: string
              columns: {
                dimension?: number
                name: string
                nullable: boolean
                pii: ('name' | 'email' | 'phone' | 'ssn' | 'card' | 'address')[]
                /** @enum {unknown} */
                type:
                  | 'boolean'
                  | 'int32'
                  | 'int64'
                  | 'float64'
                  | 'timestamp'
                  | 'utf8'
                  | 'binary'
                  | 'vector'
              }[]
              /** @description Oldest first, the last 100. */
              lineage: {
                /** @description Without secrets. */
                dsn: string
                finished_at: string
                /** @enum {unknown} */
                mode: 'replace' | 'append'
                query_or_table: string
                rows: number
                source_system: string
                started_at: string
              }[]
              name: string
              parts: {
                bytes: number
                key: string
                rows: number
                sha256: string
              }[]
              revision: number
              rows: number
              watermark: {
                column: string
                value: string
              } | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    /** Delete a dataset and its parts */
    delete: {
      parameters: {
        query?: {
          bucket?: string
        }
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/healthz': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** How the service does, in one word */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              status: string
              version: string
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/ingest/db': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Ingest from PostgreSQL
     * @description Streams a table or a query, in constant memory. A dataset is published at the end, whole or not at all; points come into the index as they are read, and stay where it fails.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @default 4096 */
            batch_rows?: number
            /** @description Of the dataset. Also as the header X-Lakehouse-Bucket; primary by default. */
            bucket?: string
            columns?: string[]
            dataset?: string | null
            /** @description mysql://user:password@host/database or postgres://…; it is kept nowhere and shown nowhere. */
            dsn: string
            index?: {
              /** @description Strings or integers. */
              id_column: string
              metadata_columns?: string[] | null
              name: string
              /**
               * @description Whether a row that is no point fails the whole (default), or is left out and listed.
               * @enum {unknown}
               */
              on_bad_row?: 'fail' | 'skip'
              text_column?: string | null
              vector_column?: string | null
            } | null
            /** @description A column whose values are unique and ascend: pages go by it, a lost connection goes on behind its last value, and so does an ingest with resume. */
            key?: string
            /**
             * @description Whether the rows become the dataset, or come behind those that it has.
             * @enum {unknown}
             */
            mode?: 'replace' | 'append'
            /** @description In place of a table. */
            query?: string
            /**
             * @description Append what comes behind the last key that the dataset has.
             * @default false
             */
            resume?: boolean
            schema?: string
            table?: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              bytes: number
              columns: {
                dimension?: number
                name: string
                nullable: boolean
                /** @description What its values tell of a person. */
                pii: string[]
                type: string
              }[]
              dataset: string | null
              index: {
                name: string
                /** @description An id that came twice counts twice. */
                points: number
                refused: {
                  count: number
                  rows: {
                    field: string
                    id: string | null
                    problem: string
                    /** @description From 0, in the order of the source. */
                    row: number
                  }[]
                }
              } | null
              lineage: {
                /** @description Without secrets. */
                dsn: string
                finished_at: string
                /**
                 * @description Whether the rows become the dataset, or come behind those that it has.
                 * @enum {unknown}
                 */
                mode: 'replace' | 'append'
                query_or_table: string
                rows: number
                source_system: string
                started_at: string
              }
              parts: number
              /** @description The dataset had the file already: nothing was done. */
              repeated: boolean
              revision: number | null
              rows: number
              watermark: {
                column: string
                value: string
              } | null
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/ingest/file': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Ingest a file: the body itself, or an object of a bucket
     * @description A body that is a file comes with its content type, and with what JSON would say in the query. Its size is bounded by ingest.file_bytes_max alone.
     */
    post: {
      parameters: {
        query?: {
          batch_rows?: number
          /** @description Of the dataset. Also as the header X-Lakehouse-Bucket; primary by default. */
          bucket?: string
          dataset?: string
          id_column?: string
          index?: string
          /** @description Divided by commas. */
          metadata_columns?: string
          /** @description Whether the rows become the dataset, or come behind those that it has. */
          mode?: 'replace' | 'append'
          /** @description Whether a row that is no point fails the whole (default), or is left out and listed. */
          on_bad_row?: 'fail' | 'skip'
          text_column?: string
          vector_column?: string
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @default 4096 */
            batch_rows?: number
            /** @description Where the file lies. */
            bucket: string
            dataset?: string | null
            /** @description Of the dataset. Also as the header X-Lakehouse-Bucket; primary by default. */
            dataset_bucket?: string
            format?: ('parquet' | 'arrow' | 'ndjson' | 'csv') | null
            index?: {
              /** @description Strings or integers. */
              id_column: string
              metadata_columns?: string[] | null
              name: string
              /**
               * @description Whether a row that is no point fails the whole (default), or is left out and listed.
               * @enum {unknown}
               */
              on_bad_row?: 'fail' | 'skip'
              text_column?: string | null
              vector_column?: string | null
            } | null
            key: string
            /**
             * @description Whether the rows become the dataset, or come behind those that it has.
             * @enum {unknown}
             */
            mode?: 'replace' | 'append'
          }
          'application/vnd.apache.arrow.file': string
          'application/vnd.apache.arrow.stream': string
          'application/vnd.apache.parquet': string
          'application/x-ndjson': string
          'text/csv': string
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              bytes: number
              columns: {
                dimension?: number
                name: string
                nullable: boolean
                /** @description What its values tell of a person. */
                pii: string[]
                type: string
              }[]
              dataset: string | null
              index: {
                name: string
                /** @description An id that came twice counts twice. */
                points: number
                refused: {
                  count: number
                  rows: {
                    field: string
                    id: string | null
                    problem: string
                    /** @description From 0, in the order of the source. */
                    row: number
                  }[]
                }
              } | null
              lineage: {
                /** @description Without secrets. */
                dsn: string
                finished_at: string
                /**
                 * @description Whether the rows become the dataset, or come behind those that it has.
                 * @enum {unknown}
                 */
                mode: 'replace' | 'append'
                query_or_table: string
                rows: number
                source_system: string
                started_at: string
              }
              parts: number
              /** @description The dataset had the file already: nothing was done. */
              repeated: boolean
              revision: number | null
              rows: number
              watermark: {
                column: string
                value: string
              } | null
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/ingest/mysql': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Ingest from MySQL or MariaDB
     * @description Streams a table or a query, in constant memory. A dataset is published at the end, whole or not at all; points come into the index as they are read, and stay where it fails.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @default 4096 */
            batch_rows?: number
            /** @description Of the dataset. Also as the header X-Lakehouse-Bucket; primary by default. */
            bucket?: string
            columns?: string[]
            dataset?: string | null
            /** @description mysql://user:password@host/database or postgres://…; it is kept nowhere and shown nowhere. */
            dsn: string
            index?: {
              /** @description Strings or integers. */
              id_column: string
              metadata_columns?: string[] | null
              name: string
              /**
               * @description Whether a row that is no point fails the whole (default), or is left out and listed.
               * @enum {unknown}
               */
              on_bad_row?: 'fail' | 'skip'
              text_column?: string | null
              vector_column?: string | null
            } | null
            /** @description A column whose values are unique and ascend: pages go by it, a lost connection goes on behind its last value, and so does an ingest with resume. */
            key?: string
            /**
             * @description Whether the rows become the dataset, or come behind those that it has.
             * @enum {unknown}
             */
            mode?: 'replace' | 'append'
            /** @description In place of a table. */
            query?: string
            /**
             * @description Append what comes behind the last key that the dataset has.
             * @default false
             */
            resume?: boolean
            schema?: string
            table?: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              bytes: number
              columns: {
                dimension?: number
                name: string
                nullable: boolean
                /** @description What its values tell of a person. */
                pii: string[]
                type: string
              }[]
              dataset: string | null
              index: {
                name: string
                /** @description An id that came twice counts twice. */
                points: number
                refused: {
                  count: number
                  rows: {
                    field: string
                    id: string | null
                    problem: string
                    /** @description From 0, in the order of the source. */
                    row: number
                  }[]
                }
              } | null
              lineage: {
                /** @description Without secrets. */
                dsn: string
                finished_at: string
                /**
                 * @description Whether the rows become the dataset, or come behind those that it has.
                 * @enum {unknown}
                 */
                mode: 'replace' | 'append'
                query_or_table: string
                rows: number
                source_system: string
                started_at: string
              }
              parts: number
              /** @description The dataset had the file already: nothing was done. */
              repeated: boolean
              revision: number | null
              rows: number
              watermark: {
                column: string
                value: string
              } | null
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/ingest/watches': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** List the watched prefixes */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              errors: {
                error: {
                  /** @enum {string} */
                  code:
                    | 'bad_request'
                    | 'malformed_body'
                    | 'invalid_name'
                    | 'invalid_points'
                    | 'invalid_vector'
                    | 'vector_dimension_mismatch'
                    | 'invalid_value'
                    | 'file_corrupt'
                    | 'invalid_filter'
                    | 'invalid_cursor'
                    | 'limit_exceeded'
                    | 'body_too_large'
                    | 'unsupported_media_type'
                    | 'revision_mismatch'
                    | 'idempotency_key_reused'
                    | 'request_quarantined'
                    | 'embedder_failed'
                    | 'source_auth_failed'
                    | 'source_tls_failed'
                    | 'source_failed'
                    | 'source_value_refused'
                    | 'unauthenticated'
                    | 'forbidden'
                    | 'bucket_protected'
                    | 'out_of_scope'
                    | 'rate_limited'
                    | 'route_not_found'
                    | 'index_not_found'
                    | 'point_not_found'
                    | 'point_not_embedded'
                    | 'bucket_not_found'
                    | 'object_not_found'
                    | 'operation_not_found'
                    | 'generation_not_found'
                    | 'generation_exists'
                    | 'trial_not_found'
                    | 'eval_not_found'
                    | 'dead_letter_not_found'
                    | 'profile_not_found'
                    | 'profile_active'
                    | 'profile_not_active'
                    | 'dataset_not_found'
                    | 'dataset_schema_mismatch'
                    | 'document_not_found'
                    | 'watch_not_found'
                    | 'ingest_under_way'
                    | 'snapshot_not_found'
                    | 'snapshot_in_use'
                    | 'document_conflict'
                    | 'source_not_found'
                    | 'index_exists'
                    | 'bucket_exists'
                    | 'bucket_in_use'
                    | 'object_exists'
                    | 'operation_cancelled'
                    | 'not_configured'
                    | 'stream_not_enabled'
                    | 'no_promotion_to_roll_back'
                    | 'nothing_to_roll_forward'
                    | 'nothing_to_pin'
                    | 'promotion_pinned'
                    | 'acknowledgement_needed'
                    | 'agent_held'
                    | 'model_not_found'
                    | 'embedder_mismatch'
                    | 'lance_version_gone'
                    | 'lance_too_few_rows'
                    | 'wrong_backend'
                    | 'points_exist'
                    | 'delta_full'
                    | 'stream_buffer_full'
                    | 'too_many_exports'
                    | 'core_suspended'
                    | 'core_degraded'
                    | 'builder_failed'
                    | 'ingest_failed'
                    | 'core_unavailable'
                    | 'index_loading'
                    | 'index_unavailable'
                    | 'index_moving'
                    | 'keywords_loading'
                    | 'not_owner'
                    | 'bucket_unreachable'
                    | 'embedder_unavailable'
                    | 'model_server_unavailable'
                    | 'source_unreachable'
                    | 'overloaded'
                    | 'journal_full'
                    | 'stream_draining'
                    | 'stream_stopped'
                    | 'dead_letters_full'
                    | 'shutting_down'
                    | 'deadline_exceeded'
                    | 'storage_full'
                    | 'memory_full'
                    | 'log_fenced'
                    | 'log_corrupt'
                    | 'object_corrupt'
                    | 'format_too_new'
                    | 'storage_error'
                    | 'internal'
                    | 'invalid_config'
                    | 'root_locked'
                  details: {
                    [key: string]: unknown
                  }
                  message: string
                  retryable: boolean
                }
                name: string
              }[]
              watches: {
                bucket: string
                changed_at: string
                changed_by: string
                current: string | null
                dataset: string | null
                error: {
                  /** @enum {string} */
                  code:
                    | 'bad_request'
                    | 'malformed_body'
                    | 'invalid_name'
                    | 'invalid_points'
                    | 'invalid_vector'
                    | 'vector_dimension_mismatch'
                    | 'invalid_value'
                    | 'file_corrupt'
                    | 'invalid_filter'
                    | 'invalid_cursor'
                    | 'limit_exceeded'
                    | 'body_too_large'
                    | 'unsupported_media_type'
                    | 'revision_mismatch'
                    | 'idempotency_key_reused'
                    | 'request_quarantined'
                    | 'embedder_failed'
                    | 'source_auth_failed'
                    | 'source_tls_failed'
                    | 'source_failed'
                    | 'source_value_refused'
                    | 'unauthenticated'
                    | 'forbidden'
                    | 'bucket_protected'
                    | 'out_of_scope'
                    | 'rate_limited'
                    | 'route_not_found'
                    | 'index_not_found'
                    | 'point_not_found'
                    | 'point_not_embedded'
                    | 'bucket_not_found'
                    | 'object_not_found'
                    | 'operation_not_found'
                    | 'generation_not_found'
                    | 'generation_exists'
                    | 'trial_not_found'
                    | 'eval_not_found'
                    | 'dead_letter_not_found'
                    | 'profile_not_found'
                    | 'profile_active'
                    | 'profile_not_active'
                    | 'dataset_not_found'
                    | 'dataset_schema_mismatch'
                    | 'document_not_found'
                    | 'watch_not_found'
                    | 'ingest_under_way'
                    | 'snapshot_not_found'
                    | 'snapshot_in_use'
                    | 'document_conflict'
                    | 'source_not_found'
                    | 'index_exists'
                    | 'bucket_exists'
                    | 'bucket_in_use'
                    | 'object_exists'
                    | 'operation_cancelled'
                    | 'not_configured'
                    | 'stream_not_enabled'
                    | 'no_promotion_to_roll_back'
                    | 'nothing_to_roll_forward'
                    | 'nothing_to_pin'
                    | 'promotion_pinned'
                    | 'acknowledgement_needed'
                    | 'agent_held'
                    | 'model_not_found'
                    | 'embedder_mismatch'
                    | 'lance_version_gone'
                    | 'lance_too_few_rows'
                    | 'wrong_backend'
                    | 'points_exist'
                    | 'delta_full'
                    | 'stream_buffer_full'
                    | 'too_many_exports'
                    | 'core_suspended'
                    | 'core_degraded'
                    | 'builder_failed'
                    | 'ingest_failed'
                    | 'core_unavailable'
                    | 'index_loading'
                    | 'index_unavailable'
                    | 'index_moving'
                    | 'keywords_loading'
                    | 'not_owner'
                    | 'bucket_unreachable'
                    | 'embedder_unavailable'
                    | 'model_server_unavailable'
                    | 'source_unreachable'
                    | 'overloaded'
                    | 'journal_full'
                    | 'stream_draining'
                    | 'stream_stopped'
                    | 'dead_letters_full'
                    | 'shutting_down'
                    | 'deadline_exceeded'
                    | 'storage_full'
                    | 'memory_full'
                    | 'log_fenced'
                    | 'log_corrupt'
                    | 'object_corrupt'
                    | 'format_too_new'
                    | 'storage_error'
                    | 'internal'
                    | 'invalid_config'
                    | 'root_locked'
                  details: {
                    [key: string]: unknown
                  }
                  message: string
                  retryable: boolean
                } | null
                /** @description The last 100. */
                failures: {
                  attempts: number
                  bytes: number
                  error: {
                    code: string
                    message: string
                  }
                  failed_at: string
                  key: string
                  modified_at: string
                  retry_at: string | null
                }[]
                files: {
                  /** @description There are more than ingest.watch_files_max. */
                  cut: boolean
                  done: number
                  failed: number
                  /** @description Of the failed: not tried any more. */
                  given_up: number
                  /** @description Seen once, or still being written. */
                  growing: number
                  /** @description Their endings say no format. */
                  ignored: number
                }
                format: ('parquet' | 'arrow' | 'ndjson' | 'csv') | null
                index: {
                  /** @description Strings or integers. */
                  id_column: string
                  metadata_columns?: string[] | null
                  name: string
                  /**
                   * @description Whether a row that is no point fails the whole (default), or is left out and listed.
                   * @enum {unknown}
                   */
                  on_bad_row?: 'fail' | 'skip'
                  text_column?: string | null
                  vector_column?: string | null
                } | null
                /**
                 * @description Between two looks. A file is taken when two looks have found it alike.
                 * @default 60
                 */
                interval_secs: number
                looked_at: string | null
                name: string
                prefix: string
                revision: number
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/ingest/watches/{name}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** A watched prefix, and what became of its files */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description `error` says why the last look failed or could not go on. */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              changed_at: string
              changed_by: string
              current: string | null
              dataset: string | null
              error: {
                /** @enum {string} */
                code:
                  | 'bad_request'
                  | 'malformed_body'
                  | 'invalid_name'
                  | 'invalid_points'
                  | 'invalid_vector'
                  | 'vector_dimension_mismatch'
                  | 'invalid_value'
                  | 'file_corrupt'
                  | 'invalid_filter'
                  | 'invalid_cursor'
                  | 'limit_exceeded'
                  | 'body_too_large'
                  | 'unsupported_media_type'
                  | 'revision_mismatch'
                  | 'idempotency_key_reused'
                  | 'request_quarantined'
                  | 'embedder_failed'
                  | 'source_auth_failed'
                  | 'source_tls_failed'
                  | 'source_failed'
                  | 'source_value_refused'
                  | 'unauthenticated'
                  | 'forbidden'
                  | 'bucket_protected'
                  | 'out_of_scope'
                  | 'rate_limited'
                  | 'route_not_found'
                  | 'index_not_found'
                  | 'point_not_found'
                  | 'point_not_embedded'
                  | 'bucket_not_found'
                  | 'object_not_found'
                  | 'operation_not_found'
                  | 'generation_not_found'
                  | 'generation_exists'
                  | 'trial_not_found'
                  | 'eval_not_found'
                  | 'dead_letter_not_found'
                  | 'profile_not_found'
                  | 'profile_active'
                  | 'profile_not_active'
                  | 'dataset_not_found'
                  | 'dataset_schema_mismatch'
                  | 'document_not_found'
                  | 'watch_not_found'
                  | 'ingest_under_way'
                  | 'snapshot_not_found'
                  | 'snapshot_in_use'
                  | 'document_conflict'
                  | 'source_not_found'
                  | 'index_exists'
                  | 'bucket_exists'
                  | 'bucket_in_use'
                  | 'object_exists'
                  | 'operation_cancelled'
                  | 'not_configured'
                  | 'stream_not_enabled'
                  | 'no_promotion_to_roll_back'
                  | 'nothing_to_roll_forward'
                  | 'nothing_to_pin'
                  | 'promotion_pinned'
                  | 'acknowledgement_needed'
                  | 'agent_held'
                  | 'model_not_found'
                  | 'embedder_mismatch'
                  | 'lance_version_gone'
                  | 'lance_too_few_rows'
                  | 'wrong_backend'
                  | 'points_exist'
                  | 'delta_full'
                  | 'stream_buffer_full'
                  | 'too_many_exports'
                  | 'core_suspended'
                  | 'core_degraded'
                  | 'builder_failed'
                  | 'ingest_failed'
                  | 'core_unavailable'
                  | 'index_loading'
                  | 'index_unavailable'
                  | 'index_moving'
                  | 'keywords_loading'
                  | 'not_owner'
                  | 'bucket_unreachable'
                  | 'embedder_unavailable'
                  | 'model_server_unavailable'
                  | 'source_unreachable'
                  | 'overloaded'
                  | 'journal_full'
                  | 'stream_draining'
                  | 'stream_stopped'
                  | 'dead_letters_full'
                  | 'shutting_down'
                  | 'deadline_exceeded'
                  | 'storage_full'
                  | 'memory_full'
                  | 'log_fenced'
                  | 'log_corrupt'
                  | 'object_corrupt'
                  | 'format_too_new'
                  | 'storage_error'
                  | 'internal'
                  | 'invalid_config'
                  | 'root_locked'
                details: {
                  [key: string]: unknown
                }
                message: string
                retryable: boolean
              } | null
              /** @description The last 100. */
              failures: {
                attempts: number
                bytes: number
                error: {
                  code: string
                  message: string
                }
                failed_at: string
                key: string
                modified_at: string
                retry_at: string | null
              }[]
              files: {
                /** @description There are more than ingest.watch_files_max. */
                cut: boolean
                done: number
                failed: number
                /** @description Of the failed: not tried any more. */
                given_up: number
                /** @description Seen once, or still being written. */
                growing: number
                /** @description Their endings say no format. */
                ignored: number
              }
              format: ('parquet' | 'arrow' | 'ndjson' | 'csv') | null
              index: {
                /** @description Strings or integers. */
                id_column: string
                metadata_columns?: string[] | null
                name: string
                /**
                 * @description Whether a row that is no point fails the whole (default), or is left out and listed.
                 * @enum {unknown}
                 */
                on_bad_row?: 'fail' | 'skip'
                text_column?: string | null
                vector_column?: string | null
              } | null
              /**
               * @description Between two looks. A file is taken when two looks have found it alike.
               * @default 60
               */
              interval_secs: number
              looked_at: string | null
              name: string
              prefix: string
              revision: number
            }
          }
        }
      }
    }
    /**
     * Watch a prefix, or change how
     * @description Whole: what is left out has its default. Files that were taken stay taken: delete the watch first to take them again.
     */
    put: {
      parameters: {
        query?: never
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @default primary */
            bucket?: string
            dataset?: string | null
            format?: ('parquet' | 'arrow' | 'ndjson' | 'csv') | null
            index?: {
              /** @description Strings or integers. */
              id_column: string
              metadata_columns?: string[] | null
              name: string
              /**
               * @description Whether a row that is no point fails the whole (default), or is left out and listed.
               * @enum {unknown}
               */
              on_bad_row?: 'fail' | 'skip'
              text_column?: string | null
              vector_column?: string | null
            } | null
            /**
             * @description Between two looks. A file is taken when two looks have found it alike.
             * @default 60
             */
            interval_secs?: number
            /** @description What begins with "_" is of the service itself and cannot be watched. */
            prefix: string
          }
        }
      }
      responses: {
        /** @description `error` says why the last look failed or could not go on. */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              changed_at: string
              changed_by: string
              current: string | null
              dataset: string | null
              error: {
                /** @enum {string} */
                code:
                  | 'bad_request'
                  | 'malformed_body'
                  | 'invalid_name'
                  | 'invalid_points'
                  | 'invalid_vector'
                  | 'vector_dimension_mismatch'
                  | 'invalid_value'
                  | 'file_corrupt'
                  | 'invalid_filter'
                  | 'invalid_cursor'
                  | 'limit_exceeded'
                  | 'body_too_large'
                  | 'unsupported_media_type'
                  | 'revision_mismatch'
                  | 'idempotency_key_reused'
                  | 'request_quarantined'
                  | 'embedder_failed'
                  | 'source_auth_failed'
                  | 'source_tls_failed'
                  | 'source_failed'
                  | 'source_value_refused'
                  | 'unauthenticated'
                  | 'forbidden'
                  | 'bucket_protected'
                  | 'out_of_scope'
                  | 'rate_limited'
                  | 'route_not_found'
                  | 'index_not_found'
                  | 'point_not_found'
                  | 'point_not_embedded'
                  | 'bucket_not_found'
                  | 'object_not_found'
                  | 'operation_not_found'
                  | 'generation_not_found'
                  | 'generation_exists'
                  | 'trial_not_found'
                  | 'eval_not_found'
                  | 'dead_letter_not_found'
                  | 'profile_not_found'
                  | 'profile_active'
                  | 'profile_not_active'
                  | 'dataset_not_found'
                  | 'dataset_schema_mismatch'
                  | 'document_not_found'
                  | 'watch_not_found'
                  | 'ingest_under_way'
                  | 'snapshot_not_found'
                  | 'snapshot_in_use'
                  | 'document_conflict'
                  | 'source_not_found'
                  | 'index_exists'
                  | 'bucket_exists'
                  | 'bucket_in_use'
                  | 'object_exists'
                  | 'operation_cancelled'
                  | 'not_configured'
                  | 'stream_not_enabled'
                  | 'no_promotion_to_roll_back'
                  | 'nothing_to_roll_forward'
                  | 'nothing_to_pin'
                  | 'promotion_pinned'
                  | 'acknowledgement_needed'
                  | 'agent_held'
                  | 'model_not_found'
                  | 'embedder_mismatch'
                  | 'lance_version_gone'
                  | 'lance_too_few_rows'
                  | 'wrong_backend'
                  | 'points_exist'
                  | 'delta_full'
                  | 'stream_buffer_full'
                  | 'too_many_exports'
                  | 'core_suspended'
                  | 'core_degraded'
                  | 'builder_failed'
                  | 'ingest_failed'
                  | 'core_unavailable'
                  | 'index_loading'
                  | 'index_unavailable'
                  | 'index_moving'
                  | 'keywords_loading'
                  | 'not_owner'
                  | 'bucket_unreachable'
                  | 'embedder_unavailable'
                  | 'model_server_unavailable'
                  | 'source_unreachable'
                  | 'overloaded'
                  | 'journal_full'
                  | 'stream_draining'
                  | 'stream_stopped'
                  | 'dead_letters_full'
                  | 'shutting_down'
                  | 'deadline_exceeded'
                  | 'storage_full'
                  | 'memory_full'
                  | 'log_fenced'
                  | 'log_corrupt'
                  | 'object_corrupt'
                  | 'format_too_new'
                  | 'storage_error'
                  | 'internal'
                  | 'invalid_config'
                  | 'root_locked'
                details: {
                  [key: string]: unknown
                }
                message: string
                retryable: boolean
              } | null
              /** @description The last 100. */
              failures: {
                attempts: number
                bytes: number
                error: {
                  code: string
                  message: string
                }
                failed_at: string
                key: string
                modified_at: string
                retry_at: string | null
              }[]
              files: {
                /** @description There are more than ingest.watch_files_max. */
                cut: boolean
                done: number
                failed: number
                /** @description Of the failed: not tried any more. */
                given_up: number
                /** @description Seen once, or still being written. */
                growing: number
                /** @description Their endings say no format. */
                ignored: number
              }
              format: ('parquet' | 'arrow' | 'ndjson' | 'csv') | null
              index: {
                /** @description Strings or integers. */
                id_column: string
                metadata_columns?: string[] | null
                name: string
                /**
                 * @description Whether a row that is no point fails the whole (default), or is left out and listed.
                 * @enum {unknown}
                 */
                on_bad_row?: 'fail' | 'skip'
                text_column?: string | null
                vector_column?: string | null
              } | null
              /**
               * @description Between two looks. A file is taken when two looks have found it alike.
               * @default 60
               */
              interval_secs: number
              looked_at: string | null
              name: string
              prefix: string
              revision: number
            }
          }
        }
        /** @description `error` says why the last look failed or could not go on. */
        201: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              changed_at: string
              changed_by: string
              current: string | null
              dataset: string | null
              error: {
                /** @enum {string} */
                code:
                  | 'bad_request'
                  | 'malformed_body'
                  | 'invalid_name'
                  | 'invalid_points'
                  | 'invalid_vector'
                  | 'vector_dimension_mismatch'
                  | 'invalid_value'
                  | 'file_corrupt'
                  | 'invalid_filter'
                  | 'invalid_cursor'
                  | 'limit_exceeded'
                  | 'body_too_large'
                  | 'unsupported_media_type'
                  | 'revision_mismatch'
                  | 'idempotency_key_reused'
                  | 'request_quarantined'
                  | 'embedder_failed'
                  | 'source_auth_failed'
                  | 'source_tls_failed'
                  | 'source_failed'
                  | 'source_value_refused'
                  | 'unauthenticated'
                  | 'forbidden'
                  | 'bucket_protected'
                  | 'out_of_scope'
                  | 'rate_limited'
                  | 'route_not_found'
                  | 'index_not_found'
                  | 'point_not_found'
                  | 'point_not_embedded'
                  | 'bucket_not_found'
                  | 'object_not_found'
                  | 'operation_not_found'
                  | 'generation_not_found'
                  | 'generation_exists'
                  | 'trial_not_found'
                  | 'eval_not_found'
                  | 'dead_letter_not_found'
                  | 'profile_not_found'
                  | 'profile_active'
                  | 'profile_not_active'
                  | 'dataset_not_found'
                  | 'dataset_schema_mismatch'
                  | 'document_not_found'
                  | 'watch_not_found'
                  | 'ingest_under_way'
                  | 'snapshot_not_found'
                  | 'snapshot_in_use'
                  | 'document_conflict'
                  | 'source_not_found'
                  | 'index_exists'
                  | 'bucket_exists'
                  | 'bucket_in_use'
                  | 'object_exists'
                  | 'operation_cancelled'
                  | 'not_configured'
                  | 'stream_not_enabled'
                  | 'no_promotion_to_roll_back'
                  | 'nothing_to_roll_forward'
                  | 'nothing_to_pin'
                  | 'promotion_pinned'
                  | 'acknowledgement_needed'
                  | 'agent_held'
                  | 'model_not_found'
                  | 'embedder_mismatch'
                  | 'lance_version_gone'
                  | 'lance_too_few_rows'
                  | 'wrong_backend'
                  | 'points_exist'
                  | 'delta_full'
                  | 'stream_buffer_full'
                  | 'too_many_exports'
                  | 'core_suspended'
                  | 'core_degraded'
                  | 'builder_failed'
                  | 'ingest_failed'
                  | 'core_unavailable'
                  | 'index_loading'
                  | 'index_unavailable'
                  | 'index_moving'
                  | 'keywords_loading'
                  | 'not_owner'
                  | 'bucket_unreachable'
                  | 'embedder_unavailable'
                  | 'model_server_unavailable'
                  | 'source_unreachable'
                  | 'overloaded'
                  | 'journal_full'
                  | 'stream_draining'
                  | 'stream_stopped'
                  | 'dead_letters_full'
                  | 'shutting_down'
                  | 'deadline_exceeded'
                  | 'storage_full'
                  | 'memory_full'
                  | 'log_fenced'
                  | 'log_corrupt'
                  | 'object_corrupt'
                  | 'format_too_new'
                  | 'storage_error'
                  | 'internal'
                  | 'invalid_config'
                  | 'root_locked'
                details: {
                  [key: string]: unknown
                }
                message: string
                retryable: boolean
              } | null
              /** @description The last 100. */
              failures: {
                attempts: number
                bytes: number
                error: {
                  code: string
                  message: string
                }
                failed_at: string
                key: string
                modified_at: string
                retry_at: string | null
              }[]
              files: {
                /** @description There are more than ingest.watch_files_max. */
                cut: boolean
                done: number
                failed: number
                /** @description Of the failed: not tried any more. */
                given_up: number
                /** @description Seen once, or still being written. */
                growing: number
                /** @description Their endings say no format. */
                ignored: number
              }
              format: ('parquet' | 'arrow' | 'ndjson' | 'csv') | null
              index: {
                /** @description Strings or integers. */
                id_column: string
                metadata_columns?: string[] | null
                name: string
                /**
                 * @description Whether a row that is no point fails the whole (default), or is left out and listed.
                 * @enum {unknown}
                 */
                on_bad_row?: 'fail' | 'skip'
                text_column?: string | null
                vector_column?: string | null
              } | null
              /**
               * @description Between two looks. A file is taken when two looks have found it alike.
               * @default 60
               */
              interval_secs: number
              looked_at: string | null
              name: string
              prefix: string
              revision: number
            }
          }
        }
      }
    }
    post?: never
    /** Watch a prefix no longer, and forget which files were taken */
    delete: {
      parameters: {
        query?: never
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/ingest/watches/{name}/retry': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Try all failed files of a watched prefix again, soon */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              retried: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/livez': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** The process lives */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              status: string
              version: string
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/maintenance/drops': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** What waits to be deleted in the background, what failed, what was deleted */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description What was deleted since the start of the server, by kind. */
              dropped: {
                [key: string]: {
                  bytes: number
                  objects: number
                }
              }
              /** @description What failed the last time, and is tried again. */
              failing: {
                at: string
                attempts: number
                error: string
                key: string
                kind: string
              }[]
              /** @description Things with old versions to drop, whatever they wait for. */
              pending: {
                [key: string]: number
              }
              /** @description What readers have open: it is not dropped now. */
              pins: {
                key: string
                kind: string
                readers: number
                version: number
              }[]
              /** @description Who waits for room in the queue. */
              senders: number
              waiting: number
              waiting_max: number
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/metrics': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Metrics for Prometheus */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'text/plain': string
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/operations': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Long work that waits, runs or has ended lately, newest first */
    get: {
      parameters: {
        query?: {
          cursor?: string
          limit?: number
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              next_cursor: string | null
              operations: {
                created_at: string
                done: number | null
                ended_at: string | null
                error?: {
                  /** @enum {string} */
                  code:
                    | 'bad_request'
                    | 'malformed_body'
                    | 'invalid_name'
                    | 'invalid_points'
                    | 'invalid_vector'
                    | 'vector_dimension_mismatch'
                    | 'invalid_value'
                    | 'file_corrupt'
                    | 'invalid_filter'
                    | 'invalid_cursor'
                    | 'limit_exceeded'
                    | 'body_too_large'
                    | 'unsupported_media_type'
                    | 'revision_mismatch'
                    | 'idempotency_key_reused'
                    | 'request_quarantined'
                    | 'embedder_failed'
                    | 'source_auth_failed'
                    | 'source_tls_failed'
                    | 'source_failed'
                    | 'source_value_refused'
                    | 'unauthenticated'
                    | 'forbidden'
                    | 'bucket_protected'
                    | 'out_of_scope'
                    | 'rate_limited'
                    | 'route_not_found'
                    | 'index_not_found'
                    | 'point_not_found'
                    | 'point_not_embedded'
                    | 'bucket_not_found'
                    | 'object_not_found'
                    | 'operation_not_found'
                    | 'generation_not_found'
                    | 'generation_exists'
                    | 'trial_not_found'
                    | 'eval_not_found'
                    | 'dead_letter_not_found'
                    | 'profile_not_found'
                    | 'profile_active'
                    | 'profile_not_active'
                    | 'dataset_not_found'
                    | 'dataset_schema_mismatch'
                    | 'document_not_found'
                    | 'watch_not_found'
                    | 'ingest_under_way'
                    | 'snapshot_not_found'
                    | 'snapshot_in_use'
                    | 'document_conflict'
                    | 'source_not_found'
                    | 'index_exists'
                    | 'bucket_exists'
                    | 'bucket_in_use'
                    | 'object_exists'
                    | 'operation_cancelled'
                    | 'not_configured'
                    | 'stream_not_enabled'
                    | 'no_promotion_to_roll_back'
                    | 'nothing_to_roll_forward'
                    | 'nothing_to_pin'
                    | 'promotion_pinned'
                    | 'acknowledgement_needed'
                    | 'agent_held'
                    | 'model_not_found'
                    | 'embedder_mismatch'
                    | 'lance_version_gone'
                    | 'lance_too_few_rows'
                    | 'wrong_backend'
                    | 'points_exist'
                    | 'delta_full'
                    | 'stream_buffer_full'
                    | 'too_many_exports'
                    | 'core_suspended'
                    | 'core_degraded'
                    | 'builder_failed'
                    | 'ingest_failed'
                    | 'core_unavailable'
                    | 'index_loading'
                    | 'index_unavailable'
                    | 'index_moving'
                    | 'keywords_loading'
                    | 'not_owner'
                    | 'bucket_unreachable'
                    | 'embedder_unavailable'
                    | 'model_server_unavailable'
                    | 'source_unreachable'
                    | 'overloaded'
                    | 'journal_full'
                    | 'stream_draining'
                    | 'stream_stopped'
                    | 'dead_letters_full'
                    | 'shutting_down'
                    | 'deadline_exceeded'
                    | 'storage_full'
                    | 'memory_full'
                    | 'log_fenced'
                    | 'log_corrupt'
                    | 'object_corrupt'
                    | 'format_too_new'
                    | 'storage_error'
                    | 'internal'
                    | 'invalid_config'
                    | 'root_locked'
                  details: {
                    [key: string]: unknown
                  }
                  message: string
                  retryable: boolean
                }
                eta_s: number | null
                index: string | null
                /** @description checkpoint, verify, … */
                kind: string
                operation_id: string
                /** @description What ?wait=true would have answered. */
                result?: {
                  [key: string]: unknown
                }
                stage: string | null
                /** @enum {unknown} */
                state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
                total: number | null
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/operations/{id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** How far an operation is, or what came of it */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              created_at: string
              done: number | null
              ended_at: string | null
              error?: {
                /** @enum {string} */
                code:
                  | 'bad_request'
                  | 'malformed_body'
                  | 'invalid_name'
                  | 'invalid_points'
                  | 'invalid_vector'
                  | 'vector_dimension_mismatch'
                  | 'invalid_value'
                  | 'file_corrupt'
                  | 'invalid_filter'
                  | 'invalid_cursor'
                  | 'limit_exceeded'
                  | 'body_too_large'
                  | 'unsupported_media_type'
                  | 'revision_mismatch'
                  | 'idempotency_key_reused'
                  | 'request_quarantined'
                  | 'embedder_failed'
                  | 'source_auth_failed'
                  | 'source_tls_failed'
                  | 'source_failed'
                  | 'source_value_refused'
                  | 'unauthenticated'
                  | 'forbidden'
                  | 'bucket_protected'
                  | 'out_of_scope'
                  | 'rate_limited'
                  | 'route_not_found'
                  | 'index_not_found'
                  | 'point_not_found'
                  | 'point_not_embedded'
                  | 'bucket_not_found'
                  | 'object_not_found'
                  | 'operation_not_found'
                  | 'generation_not_found'
                  | 'generation_exists'
                  | 'trial_not_found'
                  | 'eval_not_found'
                  | 'dead_letter_not_found'
                  | 'profile_not_found'
                  | 'profile_active'
                  | 'profile_not_active'
                  | 'dataset_not_found'
                  | 'dataset_schema_mismatch'
                  | 'document_not_found'
                  | 'watch_not_found'
                  | 'ingest_under_way'
                  | 'snapshot_not_found'
                  | 'snapshot_in_use'
                  | 'document_conflict'
                  | 'source_not_found'
                  | 'index_exists'
                  | 'bucket_exists'
                  | 'bucket_in_use'
                  | 'object_exists'
                  | 'operation_cancelled'
                  | 'not_configured'
                  | 'stream_not_enabled'
                  | 'no_promotion_to_roll_back'
                  | 'nothing_to_roll_forward'
                  | 'nothing_to_pin'
                  | 'promotion_pinned'
                  | 'acknowledgement_needed'
                  | 'agent_held'
                  | 'model_not_found'
                  | 'embedder_mismatch'
                  | 'lance_version_gone'
                  | 'lance_too_few_rows'
                  | 'wrong_backend'
                  | 'points_exist'
                  | 'delta_full'
                  | 'stream_buffer_full'
                  | 'too_many_exports'
                  | 'core_suspended'
                  | 'core_degraded'
                  | 'builder_failed'
                  | 'ingest_failed'
                  | 'core_unavailable'
                  | 'index_loading'
                  | 'index_unavailable'
                  | 'index_moving'
                  | 'keywords_loading'
                  | 'not_owner'
                  | 'bucket_unreachable'
                  | 'embedder_unavailable'
                  | 'model_server_unavailable'
                  | 'source_unreachable'
                  | 'overloaded'
                  | 'journal_full'
                  | 'stream_draining'
                  | 'stream_stopped'
                  | 'dead_letters_full'
                  | 'shutting_down'
                  | 'deadline_exceeded'
                  | 'storage_full'
                  | 'memory_full'
                  | 'log_fenced'
                  | 'log_corrupt'
                  | 'object_corrupt'
                  | 'format_too_new'
                  | 'storage_error'
                  | 'internal'
                  | 'invalid_config'
                  | 'root_locked'
                details: {
                  [key: string]: unknown
                }
                message: string
                retryable: boolean
              }
              eta_s: number | null
              index: string | null
              /** @description checkpoint, verify, … */
              kind: string
              operation_id: string
              /** @description What ?wait=true would have answered. */
              result?: {
                [key: string]: unknown
              }
              stage: string | null
              /** @enum {unknown} */
              state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
              total: number | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    /**
     * Cancel an operation
     * @description 202 while it has yet to stop; 200 when it has ended, also if it had ended before. Work that cannot stop half-way, such as a checkpoint that has begun, runs to its end and succeeds.
     */
    delete: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              created_at: string
              done: number | null
              ended_at: string | null
              error?: {
                /** @enum {string} */
                code:
                  | 'bad_request'
                  | 'malformed_body'
                  | 'invalid_name'
                  | 'invalid_points'
                  | 'invalid_vector'
                  | 'vector_dimension_mismatch'
                  | 'invalid_value'
                  | 'file_corrupt'
                  | 'invalid_filter'
                  | 'invalid_cursor'
                  | 'limit_exceeded'
                  | 'body_too_large'
                  | 'unsupported_media_type'
                  | 'revision_mismatch'
                  | 'idempotency_key_reused'
                  | 'request_quarantined'
                  | 'embedder_failed'
                  | 'source_auth_failed'
                  | 'source_tls_failed'
                  | 'source_failed'
                  | 'source_value_refused'
                  | 'unauthenticated'
                  | 'forbidden'
                  | 'bucket_protected'
                  | 'out_of_scope'
                  | 'rate_limited'
                  | 'route_not_found'
                  | 'index_not_found'
                  | 'point_not_found'
                  | 'point_not_embedded'
                  | 'bucket_not_found'
                  | 'object_not_found'
                  | 'operation_not_found'
                  | 'generation_not_found'
                  | 'generation_exists'
                  | 'trial_not_found'
                  | 'eval_not_found'
                  | 'dead_letter_not_found'
                  | 'profile_not_found'
                  | 'profile_active'
                  | 'profile_not_active'
                  | 'dataset_not_found'
                  | 'dataset_schema_mismatch'
                  | 'document_not_found'
                  | 'watch_not_found'
                  | 'ingest_under_way'
                  | 'snapshot_not_found'
                  | 'snapshot_in_use'
                  | 'document_conflict'
                  | 'source_not_found'
                  | 'index_exists'
                  | 'bucket_exists'
                  | 'bucket_in_use'
                  | 'object_exists'
                  | 'operation_cancelled'
                  | 'not_configured'
                  | 'stream_not_enabled'
                  | 'no_promotion_to_roll_back'
                  | 'nothing_to_roll_forward'
                  | 'nothing_to_pin'
                  | 'promotion_pinned'
                  | 'acknowledgement_needed'
                  | 'agent_held'
                  | 'model_not_found'
                  | 'embedder_mismatch'
                  | 'lance_version_gone'
                  | 'lance_too_few_rows'
                  | 'wrong_backend'
                  | 'points_exist'
                  | 'delta_full'
                  | 'stream_buffer_full'
                  | 'too_many_exports'
                  | 'core_suspended'
                  | 'core_degraded'
                  | 'builder_failed'
                  | 'ingest_failed'
                  | 'core_unavailable'
                  | 'index_loading'
                  | 'index_unavailable'
                  | 'index_moving'
                  | 'keywords_loading'
                  | 'not_owner'
                  | 'bucket_unreachable'
                  | 'embedder_unavailable'
                  | 'model_server_unavailable'
                  | 'source_unreachable'
                  | 'overloaded'
                  | 'journal_full'
                  | 'stream_draining'
                  | 'stream_stopped'
                  | 'dead_letters_full'
                  | 'shutting_down'
                  | 'deadline_exceeded'
                  | 'storage_full'
                  | 'memory_full'
                  | 'log_fenced'
                  | 'log_corrupt'
                  | 'object_corrupt'
                  | 'format_too_new'
                  | 'storage_error'
                  | 'internal'
                  | 'invalid_config'
                  | 'root_locked'
                details: {
                  [key: string]: unknown
                }
                message: string
                retryable: boolean
              }
              eta_s: number | null
              index: string | null
              /** @description checkpoint, verify, … */
              kind: string
              operation_id: string
              /** @description What ?wait=true would have answered. */
              result?: {
                [key: string]: unknown
              }
              stage: string | null
              /** @enum {unknown} */
              state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
              total: number | null
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              created_at: string
              done: number | null
              ended_at: string | null
              error?: {
                /** @enum {string} */
                code:
                  | 'bad_request'
                  | 'malformed_body'
                  | 'invalid_name'
                  | 'invalid_points'
                  | 'invalid_vector'
                  | 'vector_dimension_mismatch'
                  | 'invalid_value'
                  | 'file_corrupt'
                  | 'invalid_filter'
                  | 'invalid_cursor'
                  | 'limit_exceeded'
                  | 'body_too_large'
                  | 'unsupported_media_type'
                  | 'revision_mismatch'
                  | 'idempotency_key_reused'
                  | 'request_quarantined'
                  | 'embedder_failed'
                  | 'source_auth_failed'
                  | 'source_tls_failed'
                  | 'source_failed'
                  | 'source_value_refused'
                  | 'unauthenticated'
                  | 'forbidden'
                  | 'bucket_protected'
                  | 'out_of_scope'
                  | 'rate_limited'
                  | 'route_not_found'
                  | 'index_not_found'
                  | 'point_not_found'
                  | 'point_not_embedded'
                  | 'bucket_not_found'
                  | 'object_not_found'
                  | 'operation_not_found'
                  | 'generation_not_found'
                  | 'generation_exists'
                  | 'trial_not_found'
                  | 'eval_not_found'
                  | 'dead_letter_not_found'
                  | 'profile_not_found'
                  | 'profile_active'
                  | 'profile_not_active'
                  | 'dataset_not_found'
                  | 'dataset_schema_mismatch'
                  | 'document_not_found'
                  | 'watch_not_found'
                  | 'ingest_under_way'
                  | 'snapshot_not_found'
                  | 'snapshot_in_use'
                  | 'document_conflict'
                  | 'source_not_found'
                  | 'index_exists'
                  | 'bucket_exists'
                  | 'bucket_in_use'
                  | 'object_exists'
                  | 'operation_cancelled'
                  | 'not_configured'
                  | 'stream_not_enabled'
                  | 'no_promotion_to_roll_back'
                  | 'nothing_to_roll_forward'
                  | 'nothing_to_pin'
                  | 'promotion_pinned'
                  | 'acknowledgement_needed'
                  | 'agent_held'
                  | 'model_not_found'
                  | 'embedder_mismatch'
                  | 'lance_version_gone'
                  | 'lance_too_few_rows'
                  | 'wrong_backend'
                  | 'points_exist'
                  | 'delta_full'
                  | 'stream_buffer_full'
                  | 'too_many_exports'
                  | 'core_suspended'
                  | 'core_degraded'
                  | 'builder_failed'
                  | 'ingest_failed'
                  | 'core_unavailable'
                  | 'index_loading'
                  | 'index_unavailable'
                  | 'index_moving'
                  | 'keywords_loading'
                  | 'not_owner'
                  | 'bucket_unreachable'
                  | 'embedder_unavailable'
                  | 'model_server_unavailable'
                  | 'source_unreachable'
                  | 'overloaded'
                  | 'journal_full'
                  | 'stream_draining'
                  | 'stream_stopped'
                  | 'dead_letters_full'
                  | 'shutting_down'
                  | 'deadline_exceeded'
                  | 'storage_full'
                  | 'memory_full'
                  | 'log_fenced'
                  | 'log_corrupt'
                  | 'object_corrupt'
                  | 'format_too_new'
                  | 'storage_error'
                  | 'internal'
                  | 'invalid_config'
                  | 'root_locked'
                details: {
                  [key: string]: unknown
                }
                message: string
                retryable: boolean
              }
              eta_s: number | null
              index: string | null
              /** @description checkpoint, verify, … */
              kind: string
              operation_id: string
              /** @description What ?wait=true would have answered. */
              result?: {
                [key: string]: unknown
              }
              stage: string | null
              /** @enum {unknown} */
              state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
              total: number | null
            }
          }
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/overview': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Indexes, live recall, searches, memory, cores and buckets at one glance */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              at: string
              buckets:
                | {
                    backend: string
                    /** @enum {unknown} */
                    health: 'ok' | 'unreachable' | 'unknown'
                    name: string
                    role: string
                  }[]
                | null
              cores:
                | {
                    [key: string]: unknown
                  }[]
                | null
              indexes: {
                backend: string
                bucket: string
                config_source: string
                delta_points: number | null
                dimension: number
                memory_bytes: number | null
                /** @enum {unknown} */
                metric: 'cosine' | 'l2' | 'ip'
                name: string
                pending_texts: number | null
                points: number | null
                progress: number
                reason: string | null
                /** @description Of the kind of searches that was sampled most. */
                recall: {
                  alarm: boolean
                  ef: number | null
                  goal: number
                  interval: number[] | null
                  recall: number | null
                  samples: number
                  /** @enum {unknown} */
                  status: 'ok' | 'at_risk' | 'violated' | 'unknown'
                }
                role: ('owner' | 'follower') | null
                /** @description For neighbours, over the last minute. */
                searches: {
                  failed: number
                  p99_ms: number | null
                  qps: number
                }
                /** @enum {unknown} */
                state: 'loading' | 'ready' | 'degraded' | 'unavailable' | 'deleting'
              }[]
              memory: {
                bound_bytes: number | null
                /** @description Of all processes. */
                rss_bytes: number
                /** @description What points take, or will take. */
                used_bytes: number
              } | null
              /** @description For neighbours, over the last minute. */
              searches: {
                failed: number
                p99_ms: number | null
                qps: number
              }
              started_at: string
              version: string
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/readyz': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Every index serves, with its log replayed */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              engine: {
                instruction_set: string
                name: string
                version: string
              }
              indexes: {
                loading: number
                ready: number
                total: number
                unavailable: number
              }
              progress: number
              ready: boolean
              reason: string | null
            }
          }
        }
        /** @description Default Response */
        503: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              engine: {
                instruction_set: string
                name: string
                version: string
              }
              indexes: {
                loading: number
                ready: number
                total: number
                unavailable: number
              }
              progress: number
              ready: boolean
              reason: string | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/storage/bucket-health': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Reachability and latency of each bucket */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              buckets: {
                checked_at: string | null
                error: string | null
                latency_ms: number | null
                name: string
                reachable: boolean
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/storage/buckets': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** List the buckets */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              buckets: {
                /** @enum {unknown} */
                backend: 'local' | 's3'
                /** @enum {unknown} */
                conditional_writes: 'verified' | 'single_writer'
                /** @enum {unknown} */
                health: 'ok' | 'unreachable' | 'unknown'
                name: string
                protected: boolean
                /** @enum {unknown} */
                role: 'primary' | 'rescue' | 'extra'
                uri: string
              }[]
            }
          }
        }
      }
    }
    put?: never
    /** Probe and register a bucket */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      /** @description local takes root; s3 takes bucket, prefix, region and endpoint. */
      requestBody: {
        content: {
          'application/json': {
            /** @enum {unknown} */
            backend: 'local' | 's3'
            bucket?: string
            /** @description A profile of the AWS files, a JSON file of mode 0600, or the keys themselves, which are then kept in such a file. None: what the environment of the process has. */
            credentials?: {
              access_key_id?: string
              file?: string
              profile?: string
              secret_access_key?: string
              session_token?: string
            }
            endpoint?: string | null
            name: string
            prefix?: string
            region?: string
            root?: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        201: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              backend: 'local' | 's3'
              /** @enum {unknown} */
              conditional_writes: 'verified' | 'single_writer'
              /** @enum {unknown} */
              health: 'ok' | 'unreachable' | 'unknown'
              name: string
              protected: boolean
              /** @enum {unknown} */
              role: 'primary' | 'rescue' | 'extra'
              uri: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/storage/buckets/{name}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    post?: never
    /** Unregister a bucket; no object is deleted */
    delete: {
      parameters: {
        query?: never
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/storage/buckets/{name}/objects': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** List objects in byte order of their keys */
    get: {
      parameters: {
        query?: {
          cursor?: string
          limit?: number
          prefix?: string
        }
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              next_cursor: string | null
              objects: {
                bytes: number
                key: string
                modified_at: string
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/storage/buckets/{name}/objects/{*}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Read an object */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          /** @description The key. */
          '*': string
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/octet-stream': string
          }
        }
      }
    }
    /** Write an object, replacing any other */
    put: {
      parameters: {
        query?: never
        header?: never
        path: {
          /** @description The key. */
          '*': string
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bytes: number
              key: string
            }
          }
        }
      }
    }
    post?: never
    /** Delete an object; an absent one is no error */
    delete: {
      parameters: {
        query?: never
        header?: never
        path: {
          /** @description The key. */
          '*': string
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/storage/errors': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Failures of storage, newest first */
    get: {
      parameters: {
        query?: {
          limit?: number
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              errors: {
                at: string
                bucket: string
                code: string
                key: string | null
                message: string
                operation: string
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/storage/errors/compact': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Merge the journal of failures */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              batches: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/storage/errors/flush': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Write waiting failures */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              entries: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** What the agent may do with an index */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              axes: ('ef_construction' | 'ef_search' | 'm')[]
              bake_secs: number
              canary_shares: number[]
              cooldown_between_trials_secs: number
              cpu_share: number
              eval: string | null
              index: string
              max_trials_per_hour: number
              min_gain: number
              min_recall: number
              /** @enum {unknown} */
              mode: 'off' | 'observe' | 'recommend' | 'auto'
              /** @enum {unknown} */
              objective: 'slo' | 'recall_first'
              pause_if_p99_over: number
              paused: boolean
              pinned_by: string | null
              revision: number
              /** @enum {unknown} */
              strategy: 'structured' | 'epsilon' | 'grid' | 'random'
            }
          }
        }
      }
    }
    /** Change what the agent may do with an index */
    put: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      /** @description Fields that are left out stay. A pin needs a note. */
      requestBody: {
        content: {
          'application/json': {
            axes?: ('ef_construction' | 'ef_search' | 'm')[]
            bake_secs?: number
            canary_shares?: number[]
            /** @description Lets a halted agent go on; needs a note. */
            clear_halt?: boolean
            cooldown_between_trials_secs?: number
            cpu_share?: number
            eval?: string | null
            max_trials_per_hour?: number
            min_gain?: number
            min_recall?: number
            /** @enum {unknown} */
            mode?: 'off' | 'observe' | 'recommend' | 'auto'
            note?: string
            /** @enum {unknown} */
            objective?: 'slo' | 'recall_first'
            pause_if_p99_over?: number
            paused?: boolean
            pinned_by?: string | null
            /** @enum {unknown} */
            strategy?: 'structured' | 'epsilon' | 'grid' | 'random'
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              axes: ('ef_construction' | 'ef_search' | 'm')[]
              bake_secs: number
              canary_shares: number[]
              cooldown_between_trials_secs: number
              cpu_share: number
              eval: string | null
              index: string
              max_trials_per_hour: number
              min_gain: number
              min_recall: number
              /** @enum {unknown} */
              mode: 'off' | 'observe' | 'recommend' | 'auto'
              /** @enum {unknown} */
              objective: 'slo' | 'recall_first'
              pause_if_p99_over: number
              paused: boolean
              pinned_by: string | null
              revision: number
              /** @enum {unknown} */
              strategy: 'structured' | 'epsilon' | 'grid' | 'random'
            }
          }
        }
      }
    }
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/decisions/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Every verdict about the configuration of an index, newest first */
    get: {
      parameters: {
        query?: {
          cursor?: string
          limit?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              decisions: {
                at: string
                by: string
                decision_id: string
                /** @description Nothing was changed. */
                dry_run: boolean
                evidence: {
                  [key: string]: unknown
                }
                index: string
                kind: string
                reason: string
                trial_id: string | null
                verdict: string
              }[]
              next_cursor: string | null
              /** @description Parts of the journal that cannot be read. */
              problems: {
                code: string
                key: string
                line: number | null
                message: string
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/enqueue/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Ask the agent to tune an index soon */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              indexes: {
                activity: string | null
                budget: {
                  cpu_s_left: number
                  trials_last_hour: number
                  trials_left: number
                }
                halted: string | null
                hold: string | null
                hold_until: string | null
                index: string
                last_error: {
                  at: string
                  message: string
                } | null
                /** @enum {unknown} */
                mode: 'off' | 'observe' | 'recommend' | 'auto'
                owned: boolean
                paused: boolean
                pinned_by: string | null
                rollout: {
                  canary_requests: number
                  canary_step: number
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  note: string
                  pending: string | null
                  reason: string
                  stage: string
                  trial_id: string
                } | null
                tuned: ('converged' | 'exhausted') | null
                wanted: ('requested' | 'drift' | 'appended' | 'periodic') | null
              }[]
              queue: {
                enqueued_at: string
                index: string
                /** @enum {unknown} */
                reason: 'requested' | 'drift' | 'appended' | 'periodic'
              }[]
              /** @enum {unknown} */
              state: 'running' | 'stopped'
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/explain/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Why the current configuration, what comes next, and what holds it back */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              challenger: string | null
              champion: {
                cpu_us: number
                ef: number
                feasible: boolean
                recall: number
                recall_lcb: number
                trial_id: string
              } | null
              current: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                evidence: {
                  [key: string]: unknown
                } | null
                note: string | null
                promoted_at: string | null
                promoted_by: string | null
                source: string
                trial_id: string | null
              }
              /** @description The newest of the decision log. */
              decisions: {
                [key: string]: unknown
              }[]
              epoch: {
                name: string
                trials: number
                tuned: ('converged' | 'exhausted') | null
              }
              /** @description What keeps the agent from it now. */
              holds: {
                reason: string
                text: string
              }[]
              index: string
              next: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                } | null
                explain: {
                  [key: string]: unknown
                } | null
                /** @enum {unknown} */
                kind: 'compare' | 'proposal' | 'converged' | 'exhausted'
                predicted_memory_bytes: number | null
              }
              quarantine: {
                at: string
                config: string
                epoch: string
                reason: string
              }[]
              rollout: {
                canary_requests: number
                canary_step: number
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                note: string
                pending: string | null
                reason: string
                stage: string
                trial_id: string
              } | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/pause/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Stop the agent of one index, after the trial under way */
    post: {
      parameters: {
        query?: {
          note?: string
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              axes: ('ef_construction' | 'ef_search' | 'm')[]
              bake_secs: number
              canary_shares: number[]
              cooldown_between_trials_secs: number
              cpu_share: number
              eval: string | null
              index: string
              max_trials_per_hour: number
              min_gain: number
              min_recall: number
              /** @enum {unknown} */
              mode: 'off' | 'observe' | 'recommend' | 'auto'
              /** @enum {unknown} */
              objective: 'slo' | 'recall_first'
              pause_if_p99_over: number
              paused: boolean
              pinned_by: string | null
              revision: number
              /** @enum {unknown} */
              strategy: 'structured' | 'epsilon' | 'grid' | 'random'
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/propose/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** The next configuration and why; unless it is a dry run, its trial begins */
    post: {
      parameters: {
        query?: {
          dry_run?: boolean
          note?: string
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              config: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              } | null
              dry_run: boolean
              explain: {
                [key: string]: unknown
              } | null
              holds: {
                reason: string
                text: string
              }[]
              index: string
              /** @enum {unknown} */
              kind: 'compare' | 'proposal' | 'converged' | 'exhausted'
              operation_id: string | null
              predicted_memory_bytes: number | null
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              config: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              } | null
              dry_run: boolean
              explain: {
                [key: string]: unknown
              } | null
              holds: {
                reason: string
                text: string
              }[]
              index: string
              /** @enum {unknown} */
              kind: 'compare' | 'proposal' | 'converged' | 'exhausted'
              operation_id: string | null
              predicted_memory_bytes: number | null
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/resume/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Let the agent of one index go on */
    post: {
      parameters: {
        query?: {
          note?: string
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              axes: ('ef_construction' | 'ef_search' | 'm')[]
              bake_secs: number
              canary_shares: number[]
              cooldown_between_trials_secs: number
              cpu_share: number
              eval: string | null
              index: string
              max_trials_per_hour: number
              min_gain: number
              min_recall: number
              /** @enum {unknown} */
              mode: 'off' | 'observe' | 'recommend' | 'auto'
              /** @enum {unknown} */
              objective: 'slo' | 'recall_first'
              pause_if_p99_over: number
              paused: boolean
              pinned_by: string | null
              revision: number
              /** @enum {unknown} */
              strategy: 'structured' | 'epsilon' | 'grid' | 'random'
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/start': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Let the agent work, until the server ends */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              indexes: {
                activity: string | null
                budget: {
                  cpu_s_left: number
                  trials_last_hour: number
                  trials_left: number
                }
                halted: string | null
                hold: string | null
                hold_until: string | null
                index: string
                last_error: {
                  at: string
                  message: string
                } | null
                /** @enum {unknown} */
                mode: 'off' | 'observe' | 'recommend' | 'auto'
                owned: boolean
                paused: boolean
                pinned_by: string | null
                rollout: {
                  canary_requests: number
                  canary_step: number
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  note: string
                  pending: string | null
                  reason: string
                  stage: string
                  trial_id: string
                } | null
                tuned: ('converged' | 'exhausted') | null
                wanted: ('requested' | 'drift' | 'appended' | 'periodic') | null
              }[]
              queue: {
                enqueued_at: string
                index: string
                /** @enum {unknown} */
                reason: 'requested' | 'drift' | 'appended' | 'periodic'
              }[]
              /** @enum {unknown} */
              state: 'running' | 'stopped'
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/status': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** What the agent does, for each index what it may and what holds it back */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              indexes: {
                activity: string | null
                budget: {
                  cpu_s_left: number
                  trials_last_hour: number
                  trials_left: number
                }
                halted: string | null
                hold: string | null
                hold_until: string | null
                index: string
                last_error: {
                  at: string
                  message: string
                } | null
                /** @enum {unknown} */
                mode: 'off' | 'observe' | 'recommend' | 'auto'
                owned: boolean
                paused: boolean
                pinned_by: string | null
                rollout: {
                  canary_requests: number
                  canary_step: number
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  note: string
                  pending: string | null
                  reason: string
                  stage: string
                  trial_id: string
                } | null
                tuned: ('converged' | 'exhausted') | null
                wanted: ('requested' | 'drift' | 'appended' | 'periodic') | null
              }[]
              queue: {
                enqueued_at: string
                index: string
                /** @enum {unknown} */
                reason: 'requested' | 'drift' | 'appended' | 'periodic'
              }[]
              /** @enum {unknown} */
              state: 'running' | 'stopped'
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/agent/stop': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Stop the agent of every index, after the trial under way
     * @description A configuration that was promoted lately stays watched, and may be rolled back.
     */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              indexes: {
                activity: string | null
                budget: {
                  cpu_s_left: number
                  trials_last_hour: number
                  trials_left: number
                }
                halted: string | null
                hold: string | null
                hold_until: string | null
                index: string
                last_error: {
                  at: string
                  message: string
                } | null
                /** @enum {unknown} */
                mode: 'off' | 'observe' | 'recommend' | 'auto'
                owned: boolean
                paused: boolean
                pinned_by: string | null
                rollout: {
                  canary_requests: number
                  canary_step: number
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  note: string
                  pending: string | null
                  reason: string
                  stage: string
                  trial_id: string
                } | null
                tuned: ('converged' | 'exhausted') | null
                wanted: ('requested' | 'drift' | 'appended' | 'periodic') | null
              }[]
              queue: {
                enqueued_at: string
                index: string
                /** @enum {unknown} */
                reason: 'requested' | 'drift' | 'appended' | 'periodic'
              }[]
              /** @enum {unknown} */
              state: 'running' | 'stopped'
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/autotune': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Try a grid of configurations and promote the best above the floor */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            eval: string
            grid?: {
              /** @default 200 */
              ef_construction?: number
              /**
               * @description Measured too; null leaves ef to the curve, which is always solved.
               * @default null
               */
              ef_search?: number | null
              /** @default 16 */
              m?: number
              /** @default 42 */
              seed?: number
            }[]
            index: string
            /** @default 0.9 */
            min_recall?: number
            /**
             * @description The highest recall, or the cheapest search, of what holds the floor.
             * @default recall_first
             * @enum {unknown}
             */
            objective?: 'recall_first' | 'slo'
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              promotion: {
                change: {
                  at: string
                  by: string
                  discarded?: {
                    config: {
                      ef_construction: number
                      ef_search: number | null
                      m: number
                      seed: number
                    }
                    /** @description What the decision rests on. */
                    evidence?: {
                      [key: string]: unknown
                    }
                    graph_id?: string
                    note: string | null
                    /** @description The agent may not replace it. */
                    pinned?: boolean
                    promoted_at: string
                    promoted_by: string
                    trial_id: string
                  }
                  /** @enum {unknown} */
                  kind: 'promote' | 'rollback' | 'roll_forward' | 'pin' | 'unpin'
                  note: string | null
                  /** @enum {unknown} */
                  rebuild: 'now' | 'lazy'
                } | null
                current: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                } | null
                format: number
                /** @description What was current before, oldest first. */
                history: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }[]
                index_name: string
                operation_id: string | null
                /** @description What rollbacks undid; a roll-forward takes the last. */
                redo: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }[]
                /** @description 0 before the first promotion. */
                revision: number
                warnings: string[]
              } | null
              reason: string | null
              trials: {
                boundaries: {
                  cpu_us: number | null
                  ef: number | null
                  goal: number
                  held_out: {
                    /** @description CPU time of a query. */
                    cpu_us: number
                    ef: number
                    /** @description Recall that nine of ten queries have at least. */
                    p10: number
                    p50_us: number
                    p95_us: number
                    p99_us: number
                    queries: number
                    recall: number
                    /** @description One-sided lower 95 % bound. */
                    recall_lcb: number
                  } | null
                }[]
                build: {
                  bytes: number
                  cached: boolean
                  cpu_s: number
                  predicted_cpu_s: number | null
                  wall_s: number
                } | null
                canonical_key: string
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description On the tune queries. */
                curve: {
                  /** @description CPU time of a query. */
                  cpu_us: number
                  ef: number
                  /** @description Recall that nine of ten queries have at least. */
                  p10: number
                  p50_us: number
                  p95_us: number
                  p99_us: number
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                }[]
                environment: {
                  cpu: string
                  engine: string
                  host: string
                  load1: number
                  node: string
                }
                epoch: {
                  dimension: number
                  /** @description Trials of other data are not compared. */
                  fingerprint: string
                  /** @enum {unknown} */
                  metric: 'cosine' | 'l2' | 'ip'
                  points: number
                }
                eval: {
                  held_out_queries: number
                  k: number
                  lsn: number
                  name: string
                  tune_queries: number
                  weak: boolean
                }
                explain: {
                  [key: string]: unknown
                }
                finished_at: string | null
                graph_id: string | null
                index: string
                lease_until: string | null
                note: string | null
                reason: string | null
                seq: number
                started_at: string
                /** @enum {unknown} */
                state: 'running' | 'completed' | 'infeasible' | 'pruned' | 'failed' | 'aborted'
                /** @enum {unknown} */
                strategy: 'manual' | 'epsilon' | 'structured' | 'grid' | 'random'
                trial_id: string
              }[]
              winner: string | null
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/curve/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Recall against ef: of live searches, and as the promoted trial measured it */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              ef: number | null
              generation: number | null
              index: string
              live: {
                filter_bucket: string
                k_bucket: string
                /** @description Bounds are one-sided, 95 %. */
                points: {
                  ef: number
                  n: number
                  recall: number
                  recall_lcb: number
                  recall_ucb: number
                }[]
              } | null
              promoted: {
                k: number
                points: {
                  cpu_us: number
                  ef: number
                  n: number
                  recall: number
                  recall_lcb: number
                }[]
                trial_id: string
              } | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/evals': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** The eval sets of all buckets, by name */
    get: {
      parameters: {
        query?: {
          cursor?: string
          limit?: number
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Buckets and objects that could not be read. */
              errors: {
                bucket: string
                code: string
                key: string | null
                message: string
              }[]
              evals: {
                created_at: string
                dimension: number
                held_out_queries: number
                index: string
                /** @description Neighbours of a query. */
                k: number
                lsn: number
                /** @enum {unknown} */
                metric: 'cosine' | 'l2' | 'ip'
                name: string
                points: number
                source: ('given' | 'index' | 'live') | null
                stale: boolean | null
                /** @enum {unknown} */
                state: 'empty' | 'building' | 'ready'
                tune_queries: number
                /** @description Under 400 queries: nothing is promoted by it. */
                weak: boolean
              }[]
              next_cursor: string | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/evals/{name}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** An eval set: its counts, whether it is stale; its queries and truth if asked for */
    get: {
      parameters: {
        query?: {
          /** @description Comma-separated: queries, truth. */
          include?: string
        }
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              created_at: string
              dimension: number
              held_out?: {
                distances?: number[][]
                /** @description base64 of float32, row by row. */
                queries?: string
                self_ids?: (string | null)[]
                truth?: string[][]
              }
              held_out_queries: number
              index: string
              /** @description Neighbours of a query. */
              k: number
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              name: string
              points: number
              source: ('given' | 'index' | 'live') | null
              stale: boolean | null
              /** @enum {unknown} */
              state: 'empty' | 'building' | 'ready'
              tune?: {
                distances?: number[][]
                /** @description base64 of float32, row by row. */
                queries?: string
                self_ids?: (string | null)[]
                truth?: string[][]
              }
              tune_queries: number
              /** @description Under 400 queries: nothing is promoted by it. */
              weak: boolean
            }
          }
        }
      }
    }
    /** Make an eval set of given queries, or name one */
    put: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      /** @description Without queries the set is only named: `autogen` makes them. */
      requestBody: {
        content: {
          'application/json': {
            index: string
            /** @default 10 */
            k?: number
            /** @description Vectors, at least two different ones. */
            queries?: unknown[]
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              created_at: string
              dimension: number
              held_out_queries: number
              index: string
              /** @description Neighbours of a query. */
              k: number
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              name: string
              points: number
              source: ('given' | 'index' | 'live') | null
              stale: boolean | null
              /** @enum {unknown} */
              state: 'empty' | 'building' | 'ready'
              tune_queries: number
              /** @description Under 400 queries: nothing is promoted by it. */
              weak: boolean
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    post?: never
    /** Delete an eval set */
    delete: {
      parameters: {
        query?: never
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/evals/{name}/autogen': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Make an eval set of live queries or of rows of the index */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          name: string
        }
        cookie?: never
      }
      /** @description `index` and `k` are those of the set where it exists. */
      requestBody: {
        content: {
          'application/json': {
            index?: string
            /** @description Neighbours of a query. */
            k?: number
            /** @default 1000 */
            queries?: number
            /**
             * @description Noisy rows of the index, or queries asked. Default: live if there are 400.
             * @enum {unknown}
             */
            source?: 'index' | 'live'
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              created_at: string
              dimension: number
              held_out_queries: number
              index: string
              /** @description Neighbours of a query. */
              k: number
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              name: string
              points: number
              source: ('given' | 'index' | 'live') | null
              stale: boolean | null
              /** @enum {unknown} */
              state: 'empty' | 'building' | 'ready'
              tune_queries: number
              /** @description Under 400 queries: nothing is promoted by it. */
              weak: boolean
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/promote/{index}/{trial_id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Promote the configuration of a trial
     * @description Never refused for its recall; `warnings` say what to think of.
     */
    post: {
      parameters: {
        query?: {
          /** @description Of searches; left out, the one that the trial has solved for. */
          ef?: number
          note?: string
          promoted_by?: string
          /** @description Build the graph at once, or leave it to the next build. */
          rebuild?: 'now' | 'lazy'
        }
        header?: never
        path: {
          index: string
          trial_id: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              change: {
                at: string
                by: string
                discarded?: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }
                /** @enum {unknown} */
                kind: 'promote' | 'rollback' | 'roll_forward' | 'pin' | 'unpin'
                note: string | null
                /** @enum {unknown} */
                rebuild: 'now' | 'lazy'
              } | null
              current: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              } | null
              format: number
              /** @description What was current before, oldest first. */
              history: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              index_name: string
              operation_id: string | null
              /** @description What rollbacks undid; a roll-forward takes the last. */
              redo: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              /** @description 0 before the first promotion. */
              revision: number
              warnings: string[]
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/promoted': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** What is promoted in any bucket, by name of the index */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Buckets and objects that could not be read. */
              errors: {
                bucket: string
                code: string
                index_name: string | null
                message: string
              }[]
              promoted: {
                bucket: string
                change: {
                  at: string
                  by: string
                  discarded?: {
                    config: {
                      ef_construction: number
                      ef_search: number | null
                      m: number
                      seed: number
                    }
                    /** @description What the decision rests on. */
                    evidence?: {
                      [key: string]: unknown
                    }
                    graph_id?: string
                    note: string | null
                    /** @description The agent may not replace it. */
                    pinned?: boolean
                    promoted_at: string
                    promoted_by: string
                    trial_id: string
                  }
                  /** @enum {unknown} */
                  kind: 'promote' | 'rollback' | 'roll_forward' | 'pin' | 'unpin'
                  note: string | null
                  /** @enum {unknown} */
                  rebuild: 'now' | 'lazy'
                } | null
                current: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                } | null
                format: number
                /** @description What was current before, oldest first. */
                history: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }[]
                /** @description False where the index lives in another bucket: then not in force. */
                in_home: boolean
                index_name: string
                /** @description What rollbacks undid; a roll-forward takes the last. */
                redo: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }[]
                /** @description 0 before the first promotion. */
                revision: number
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/promoted/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** What is promoted for an index, and what was before */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              change: {
                at: string
                by: string
                discarded?: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }
                /** @enum {unknown} */
                kind: 'promote' | 'rollback' | 'roll_forward' | 'pin' | 'unpin'
                note: string | null
                /** @enum {unknown} */
                rebuild: 'now' | 'lazy'
              } | null
              current: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              } | null
              format: number
              /** @description What was current before, oldest first. */
              history: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              index_name: string
              /** @description What rollbacks undid; a roll-forward takes the last. */
              redo: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              /** @description 0 before the first promotion. */
              revision: number
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/promoted/{index}/audit': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Every change of the promotions of an index, newest first */
    get: {
      parameters: {
        query?: {
          cursor?: string
          limit?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              entries: {
                at: string | null
                by: string | null
                current: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                } | null
                discarded?: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }
                error: {
                  code: string
                  message: string
                } | null
                /** @enum {unknown} */
                kind:
                  | 'promote'
                  | 'rollback'
                  | 'roll_forward'
                  | 'pin'
                  | 'unpin'
                  | 'take_over'
                  | 'remove'
                  | 'unreadable'
                note: string | null
                rebuild: ('now' | 'lazy') | null
                revision: number
              }[]
              next_cursor: string | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/promoted/{index}/pin': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    /** Keep the agent from replacing the current configuration, or let it again */
    put: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            note?: string
            pinned: boolean
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              change: {
                at: string
                by: string
                discarded?: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }
                /** @enum {unknown} */
                kind: 'promote' | 'rollback' | 'roll_forward' | 'pin' | 'unpin'
                note: string | null
                /** @enum {unknown} */
                rebuild: 'now' | 'lazy'
              } | null
              current: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              } | null
              format: number
              /** @description What was current before, oldest first. */
              history: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              index_name: string
              /** @description What rollbacks undid; a roll-forward takes the last. */
              redo: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              /** @description 0 before the first promotion. */
              revision: number
            }
          }
        }
      }
    }
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/rollback/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Go back to the configuration before; without one, to that of the creation */
    post: {
      parameters: {
        query?: {
          note?: string
          /** @description Build the graph at once, or leave it to the next build. */
          rebuild?: 'now' | 'lazy'
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              change: {
                at: string
                by: string
                discarded?: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }
                /** @enum {unknown} */
                kind: 'promote' | 'rollback' | 'roll_forward' | 'pin' | 'unpin'
                note: string | null
                /** @enum {unknown} */
                rebuild: 'now' | 'lazy'
              } | null
              current: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              } | null
              format: number
              /** @description What was current before, oldest first. */
              history: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              index_name: string
              operation_id: string | null
              /** @description What rollbacks undid; a roll-forward takes the last. */
              redo: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              /** @description 0 before the first promotion. */
              revision: number
              warnings: string[]
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/rollforward/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Take the last rollback back */
    post: {
      parameters: {
        query?: {
          note?: string
          /** @description Build the graph at once, or leave it to the next build. */
          rebuild?: 'now' | 'lazy'
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              change: {
                at: string
                by: string
                discarded?: {
                  config: {
                    ef_construction: number
                    ef_search: number | null
                    m: number
                    seed: number
                  }
                  /** @description What the decision rests on. */
                  evidence?: {
                    [key: string]: unknown
                  }
                  graph_id?: string
                  note: string | null
                  /** @description The agent may not replace it. */
                  pinned?: boolean
                  promoted_at: string
                  promoted_by: string
                  trial_id: string
                }
                /** @enum {unknown} */
                kind: 'promote' | 'rollback' | 'roll_forward' | 'pin' | 'unpin'
                note: string | null
                /** @enum {unknown} */
                rebuild: 'now' | 'lazy'
              } | null
              current: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              } | null
              format: number
              /** @description What was current before, oldest first. */
              history: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              index_name: string
              operation_id: string | null
              /** @description What rollbacks undid; a roll-forward takes the last. */
              redo: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description What the decision rests on. */
                evidence?: {
                  [key: string]: unknown
                }
                graph_id?: string
                note: string | null
                /** @description The agent may not replace it. */
                pinned?: boolean
                promoted_at: string
                promoted_by: string
                trial_id: string
              }[]
              /** @description 0 before the first promotion. */
              revision: number
              warnings: string[]
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/trial': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Build and measure one configuration beside serving */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            config: {
              /** @default 200 */
              ef_construction?: number
              /**
               * @description Measured too; null leaves ef to the curve, which is always solved.
               * @default null
               */
              ef_search?: number | null
              /** @default 16 */
              m?: number
              /** @default 42 */
              seed?: number
            }
            /** @description An eval set of the index. */
            eval: string
            index: string
            /** @description Must be that of the eval set. */
            k?: number
            note?: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              boundaries: {
                cpu_us: number | null
                ef: number | null
                goal: number
                held_out: {
                  /** @description CPU time of a query. */
                  cpu_us: number
                  ef: number
                  /** @description Recall that nine of ten queries have at least. */
                  p10: number
                  p50_us: number
                  p95_us: number
                  p99_us: number
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                } | null
              }[]
              build: {
                bytes: number
                cached: boolean
                cpu_s: number
                predicted_cpu_s: number | null
                wall_s: number
              } | null
              canonical_key: string
              config: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              }
              /** @description On the tune queries. */
              curve: {
                /** @description CPU time of a query. */
                cpu_us: number
                ef: number
                /** @description Recall that nine of ten queries have at least. */
                p10: number
                p50_us: number
                p95_us: number
                p99_us: number
                queries: number
                recall: number
                /** @description One-sided lower 95 % bound. */
                recall_lcb: number
              }[]
              environment: {
                cpu: string
                engine: string
                host: string
                load1: number
                node: string
              }
              epoch: {
                dimension: number
                /** @description Trials of other data are not compared. */
                fingerprint: string
                /** @enum {unknown} */
                metric: 'cosine' | 'l2' | 'ip'
                points: number
              }
              eval: {
                held_out_queries: number
                k: number
                lsn: number
                name: string
                tune_queries: number
                weak: boolean
              }
              explain: {
                [key: string]: unknown
              }
              finished_at: string | null
              graph_id: string | null
              index: string
              lease_until: string | null
              note: string | null
              reason: string | null
              seq: number
              started_at: string
              /** @enum {unknown} */
              state: 'running' | 'completed' | 'infeasible' | 'pruned' | 'failed' | 'aborted'
              /** @enum {unknown} */
              strategy: 'manual' | 'epsilon' | 'structured' | 'grid' | 'random'
              trial_id: string
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              operation_id: string
              trial_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/trials/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** The journal of trials of an index, newest first */
    get: {
      parameters: {
        query?: {
          cursor?: string
          limit?: number
          /** @description Only those of the newest data that no other beats in recall and cost at once. */
          pareto?: boolean
          state?: 'running' | 'completed' | 'infeasible' | 'pruned' | 'failed' | 'aborted'
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              next_cursor: string | null
              /** @description Parts of the journal that cannot be read. */
              problems: {
                code: string
                key: string
                line: number | null
                message: string
              }[]
              trials: {
                boundaries: {
                  cpu_us: number | null
                  ef: number | null
                  goal: number
                  held_out: {
                    /** @description CPU time of a query. */
                    cpu_us: number
                    ef: number
                    /** @description Recall that nine of ten queries have at least. */
                    p10: number
                    p50_us: number
                    p95_us: number
                    p99_us: number
                    queries: number
                    recall: number
                    /** @description One-sided lower 95 % bound. */
                    recall_lcb: number
                  } | null
                }[]
                build: {
                  bytes: number
                  cached: boolean
                  cpu_s: number
                  predicted_cpu_s: number | null
                  wall_s: number
                } | null
                canonical_key: string
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description On the tune queries. */
                curve: {
                  /** @description CPU time of a query. */
                  cpu_us: number
                  ef: number
                  /** @description Recall that nine of ten queries have at least. */
                  p10: number
                  p50_us: number
                  p95_us: number
                  p99_us: number
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                }[]
                environment: {
                  cpu: string
                  engine: string
                  host: string
                  load1: number
                  node: string
                }
                epoch: {
                  dimension: number
                  /** @description Trials of other data are not compared. */
                  fingerprint: string
                  /** @enum {unknown} */
                  metric: 'cosine' | 'l2' | 'ip'
                  points: number
                }
                eval: {
                  held_out_queries: number
                  k: number
                  lsn: number
                  name: string
                  tune_queries: number
                  weak: boolean
                }
                explain: {
                  [key: string]: unknown
                }
                finished_at: string | null
                graph_id: string | null
                index: string
                lease_until: string | null
                note: string | null
                reason: string | null
                seq: number
                started_at: string
                /** @enum {unknown} */
                state: 'running' | 'completed' | 'infeasible' | 'pruned' | 'failed' | 'aborted'
                /** @enum {unknown} */
                strategy: 'manual' | 'epsilon' | 'structured' | 'grid' | 'random'
                trial_id: string
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/trials/{index}/{trial_id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** One trial */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
          trial_id: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              boundaries: {
                cpu_us: number | null
                ef: number | null
                goal: number
                held_out: {
                  /** @description CPU time of a query. */
                  cpu_us: number
                  ef: number
                  /** @description Recall that nine of ten queries have at least. */
                  p10: number
                  p50_us: number
                  p95_us: number
                  p99_us: number
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                } | null
              }[]
              build: {
                bytes: number
                cached: boolean
                cpu_s: number
                predicted_cpu_s: number | null
                wall_s: number
              } | null
              canonical_key: string
              config: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              }
              /** @description On the tune queries. */
              curve: {
                /** @description CPU time of a query. */
                cpu_us: number
                ef: number
                /** @description Recall that nine of ten queries have at least. */
                p10: number
                p50_us: number
                p95_us: number
                p99_us: number
                queries: number
                recall: number
                /** @description One-sided lower 95 % bound. */
                recall_lcb: number
              }[]
              environment: {
                cpu: string
                engine: string
                host: string
                load1: number
                node: string
              }
              epoch: {
                dimension: number
                /** @description Trials of other data are not compared. */
                fingerprint: string
                /** @enum {unknown} */
                metric: 'cosine' | 'l2' | 'ip'
                points: number
              }
              eval: {
                held_out_queries: number
                k: number
                lsn: number
                name: string
                tune_queries: number
                weak: boolean
              }
              explain: {
                [key: string]: unknown
              }
              finished_at: string | null
              graph_id: string | null
              index: string
              lease_until: string | null
              note: string | null
              reason: string | null
              seq: number
              started_at: string
              /** @enum {unknown} */
              state: 'running' | 'completed' | 'infeasible' | 'pruned' | 'failed' | 'aborted'
              /** @enum {unknown} */
              strategy: 'manual' | 'epsilon' | 'structured' | 'grid' | 'random'
              trial_id: string
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/trials/{index}/best': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /**
     * The cheapest trial that shows its recall on held-out queries
     * @description Of the completed trials on the newest data; 404 where none shows it.
     */
    get: {
      parameters: {
        query?: {
          goal?: number
          min_recall?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              boundary: {
                cpu_us: number | null
                ef: number | null
                goal: number
                held_out: {
                  /** @description CPU time of a query. */
                  cpu_us: number
                  ef: number
                  /** @description Recall that nine of ten queries have at least. */
                  p10: number
                  p50_us: number
                  p95_us: number
                  p99_us: number
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                } | null
              }
              trial: {
                boundaries: {
                  cpu_us: number | null
                  ef: number | null
                  goal: number
                  held_out: {
                    /** @description CPU time of a query. */
                    cpu_us: number
                    ef: number
                    /** @description Recall that nine of ten queries have at least. */
                    p10: number
                    p50_us: number
                    p95_us: number
                    p99_us: number
                    queries: number
                    recall: number
                    /** @description One-sided lower 95 % bound. */
                    recall_lcb: number
                  } | null
                }[]
                build: {
                  bytes: number
                  cached: boolean
                  cpu_s: number
                  predicted_cpu_s: number | null
                  wall_s: number
                } | null
                canonical_key: string
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                /** @description On the tune queries. */
                curve: {
                  /** @description CPU time of a query. */
                  cpu_us: number
                  ef: number
                  /** @description Recall that nine of ten queries have at least. */
                  p10: number
                  p50_us: number
                  p95_us: number
                  p99_us: number
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                }[]
                environment: {
                  cpu: string
                  engine: string
                  host: string
                  load1: number
                  node: string
                }
                epoch: {
                  dimension: number
                  /** @description Trials of other data are not compared. */
                  fingerprint: string
                  /** @enum {unknown} */
                  metric: 'cosine' | 'l2' | 'ip'
                  points: number
                }
                eval: {
                  held_out_queries: number
                  k: number
                  lsn: number
                  name: string
                  tune_queries: number
                  weak: boolean
                }
                explain: {
                  [key: string]: unknown
                }
                finished_at: string | null
                graph_id: string | null
                index: string
                lease_until: string | null
                note: string | null
                reason: string | null
                seq: number
                started_at: string
                /** @enum {unknown} */
                state: 'running' | 'completed' | 'infeasible' | 'pruned' | 'failed' | 'aborted'
                /** @enum {unknown} */
                strategy: 'manual' | 'epsilon' | 'structured' | 'grid' | 'random'
                trial_id: string
              }
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/hnsw/trials/{index}/points': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Recall against cost of all trials on the newest data, in columns */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              fingerprint: string | null
              /** @description Trials on this data that have points. */
              measured: number
              /** @description Columns of one row a measured ef. */
              points: {
                /** @description CPU time of a query */
                cpu_us: number[]
                /** @description Of the search */
                ef: number[]
                /** @description Mean */
                recall: number[]
                /** @description Bound */
                recall_lcb: number[]
                /** @description Row of its trial */
                trial: number[]
              }
              /** @description Trials in the journal, of any data and state. */
              total: number
              /** @description Columns of one row a trial, oldest first. */
              trials: {
                /** @description Of the build */
                ef_construction: number[]
                /** @description Links */
                m: number[]
                /** @description By number */
                seq: number[]
                trial_id: string[]
              }
            }
          }
        }
        /** @description Default Response */
        304: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** List the indexes that the key may see */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              indexes: {
                /** @enum {unknown} */
                backend: 'hnsw' | 'lance'
                bucket: string
                checkpoint_lsn: number
                compaction: {
                  last_at: string | null
                  /** @description Share that is dead of the rows in memory or of the graph: the larger one. */
                  ratio: number
                }
                created_at: string
                dimension: number
                embedder: {
                  dimension: number
                  model: string
                  /** @description As configured when the index got it. */
                  name: string
                  /** @description Its vectors have unit length. */
                  normalised: boolean
                  version: string
                } | null
                hnsw: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                lance: {
                  ef: number | null
                  index_kind: ('ivf_pq' | 'ivf_hnsw_sq') | null
                  nprobes: number | null
                  refine_factor: number | null
                  shown: {
                    at: string
                    k: number
                    /** @description What was asked for. */
                    min_recall: number
                    /** @description That the settings were not chosen by. */
                    queries: number
                    recall: number
                    /** @description One-sided lower 95 % bound. */
                    recall_lcb: number
                    version: number
                  } | null
                } | null
                log_bytes: number
                lsn: number
                /** @enum {unknown} */
                metric: 'cosine' | 'l2' | 'ip'
                name: string
                owner: string | null
                points: number | null
                progress: number
                reason: string | null
                retention: {
                  keep_last_versions: number
                }
                revision: number
                role: ('owner' | 'follower') | null
                shards: number
                /** @enum {unknown} */
                state: 'loading' | 'ready' | 'degraded' | 'unavailable' | 'deleting'
                stats: {
                  applied_lsn: number
                  dead_rows: number
                  delta_points: number
                  generation: number
                  graph_elements: number
                  indexed_lsn: number
                  /** @description Points a second that went into the graph lately. */
                  insert_rate: number
                  /** @description Of their vectors and strings. */
                  kept_bytes: number
                  /** @description Older versions of points that can still be read. */
                  kept_versions: number
                  live_points: number
                  memory_bytes: number
                  payload_bytes: number
                  /** @description Points whose text still waits for its vector. */
                  pending_texts: number
                  raw_bytes: number
                  rows: number
                  tombstones: number
                } | null
                stream: {
                  /** @description Points of one write; 128 where nothing else was said. */
                  batch_size: number
                  /** @description Points that may wait; 10000 where nothing else was said. */
                  buffer_size: number
                  /** @description Longest wait for a full batch; 50 where nothing else was said. */
                  flush_interval_ms: number
                } | null
              }[]
            }
          }
        }
      }
    }
    put?: never
    /** Create an index */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /**
             * @default hnsw
             * @enum {unknown}
             */
            backend?: 'hnsw' | 'lance'
            /** @default primary */
            bucket?: string
            dimension?: number
            embedder?: string
            /** @default {} */
            hnsw?: {
              /** @default 200 */
              ef_construction?: number
              /**
               * @description null lets the server choose.
               * @default null
               */
              ef_search?: number | null
              /** @default 16 */
              m?: number
              /** @default 42 */
              seed?: number
            }
            /**
             * @default cosine
             * @enum {unknown}
             */
            metric?: 'cosine' | 'l2' | 'ip'
            name: string
            /** @default {} */
            retention?: {
              /** @default 1 */
              keep_last_versions?: number
            }
            /** @default 1 */
            shards?: number
            stream?: {
              /** @description Points of one write; 128 where nothing else was said. */
              batch_size?: number
              /** @description Points that may wait; 10000 where nothing else was said. */
              buffer_size?: number
              /** @description Longest wait for a full batch; 50 where nothing else was said. */
              flush_interval_ms?: number
            }
          }
        }
      }
      responses: {
        /** @description Default Response */
        201: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              backend: 'hnsw' | 'lance'
              bucket: string
              checkpoint_lsn: number
              compaction: {
                last_at: string | null
                /** @description Share that is dead of the rows in memory or of the graph: the larger one. */
                ratio: number
              }
              created_at: string
              dimension: number
              embedder: {
                dimension: number
                model: string
                /** @description As configured when the index got it. */
                name: string
                /** @description Its vectors have unit length. */
                normalised: boolean
                version: string
              } | null
              hnsw: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              }
              lance: {
                ef: number | null
                index_kind: ('ivf_pq' | 'ivf_hnsw_sq') | null
                nprobes: number | null
                refine_factor: number | null
                shown: {
                  at: string
                  k: number
                  /** @description What was asked for. */
                  min_recall: number
                  /** @description That the settings were not chosen by. */
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                  version: number
                } | null
              } | null
              log_bytes: number
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              name: string
              owner: string | null
              points: number | null
              progress: number
              reason: string | null
              retention: {
                keep_last_versions: number
              }
              revision: number
              role: ('owner' | 'follower') | null
              shards: number
              /** @enum {unknown} */
              state: 'loading' | 'ready' | 'degraded' | 'unavailable' | 'deleting'
              stats: {
                applied_lsn: number
                dead_rows: number
                delta_points: number
                generation: number
                graph_elements: number
                indexed_lsn: number
                /** @description Points a second that went into the graph lately. */
                insert_rate: number
                /** @description Of their vectors and strings. */
                kept_bytes: number
                /** @description Older versions of points that can still be read. */
                kept_versions: number
                live_points: number
                memory_bytes: number
                payload_bytes: number
                /** @description Points whose text still waits for its vector. */
                pending_texts: number
                raw_bytes: number
                rows: number
                tombstones: number
              } | null
              stream: {
                /** @description Points of one write; 128 where nothing else was said. */
                batch_size: number
                /** @description Points that may wait; 10000 where nothing else was said. */
                buffer_size: number
                /** @description Longest wait for a full batch; 50 where nothing else was said. */
                flush_interval_ms: number
              } | null
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Settings and state of an index */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              backend: 'hnsw' | 'lance'
              bucket: string
              checkpoint_lsn: number
              compaction: {
                last_at: string | null
                /** @description Share that is dead of the rows in memory or of the graph: the larger one. */
                ratio: number
              }
              created_at: string
              dimension: number
              embedder: {
                dimension: number
                model: string
                /** @description As configured when the index got it. */
                name: string
                /** @description Its vectors have unit length. */
                normalised: boolean
                version: string
              } | null
              hnsw: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              }
              lance: {
                ef: number | null
                index_kind: ('ivf_pq' | 'ivf_hnsw_sq') | null
                nprobes: number | null
                refine_factor: number | null
                shown: {
                  at: string
                  k: number
                  /** @description What was asked for. */
                  min_recall: number
                  /** @description That the settings were not chosen by. */
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                  version: number
                } | null
              } | null
              log_bytes: number
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              name: string
              owner: string | null
              points: number | null
              progress: number
              reason: string | null
              retention: {
                keep_last_versions: number
              }
              revision: number
              role: ('owner' | 'follower') | null
              shards: number
              /** @enum {unknown} */
              state: 'loading' | 'ready' | 'degraded' | 'unavailable' | 'deleting'
              stats: {
                applied_lsn: number
                dead_rows: number
                delta_points: number
                generation: number
                graph_elements: number
                indexed_lsn: number
                /** @description Points a second that went into the graph lately. */
                insert_rate: number
                /** @description Of their vectors and strings. */
                kept_bytes: number
                /** @description Older versions of points that can still be read. */
                kept_versions: number
                live_points: number
                memory_bytes: number
                payload_bytes: number
                /** @description Points whose text still waits for its vector. */
                pending_texts: number
                raw_bytes: number
                rows: number
                tombstones: number
              } | null
              stream: {
                /** @description Points of one write; 128 where nothing else was said. */
                batch_size: number
                /** @description Points that may wait; 10000 where nothing else was said. */
                buffer_size: number
                /** @description Longest wait for a full batch; 50 where nothing else was said. */
                flush_interval_ms: number
              } | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    /** Drop an index with all its objects */
    delete: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    /**
     * Change settings of an index, or move it to another bucket
     * @description A move is an operation: 202 with its id, or with `?wait=true` the index as it is then. The index serves meanwhile; for a moment at the end writes wait.
     */
    patch: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @description With another embedder every text is embedded again: true says that you know. */
            acknowledge_rebuild?: boolean
            bucket?: string
            embedder?: string
            hnsw?: {
              ef_search: number | null
            }
            /** @description Of an index of the backend lance; POST /vectors/lance/recall/{index} solves them. */
            lance?: {
              ef?: number | null
              nprobes?: number | null
              refine_factor?: number | null
            }
            retention?: {
              keep_last_versions: number
            }
            stream?: {
              /** @description Points of one write; 128 where nothing else was said. */
              batch_size?: number
              /** @description Points that may wait; 10000 where nothing else was said. */
              buffer_size?: number
              /** @description Longest wait for a full batch; 50 where nothing else was said. */
              flush_interval_ms?: number
            } | null
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              backend: 'hnsw' | 'lance'
              bucket: string
              checkpoint_lsn: number
              compaction: {
                last_at: string | null
                /** @description Share that is dead of the rows in memory or of the graph: the larger one. */
                ratio: number
              }
              created_at: string
              dimension: number
              embedder: {
                dimension: number
                model: string
                /** @description As configured when the index got it. */
                name: string
                /** @description Its vectors have unit length. */
                normalised: boolean
                version: string
              } | null
              hnsw: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              }
              lance: {
                ef: number | null
                index_kind: ('ivf_pq' | 'ivf_hnsw_sq') | null
                nprobes: number | null
                refine_factor: number | null
                shown: {
                  at: string
                  k: number
                  /** @description What was asked for. */
                  min_recall: number
                  /** @description That the settings were not chosen by. */
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                  version: number
                } | null
              } | null
              log_bytes: number
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              name: string
              owner: string | null
              points: number | null
              progress: number
              reason: string | null
              retention: {
                keep_last_versions: number
              }
              revision: number
              role: ('owner' | 'follower') | null
              shards: number
              /** @enum {unknown} */
              state: 'loading' | 'ready' | 'degraded' | 'unavailable' | 'deleting'
              stats: {
                applied_lsn: number
                dead_rows: number
                delta_points: number
                generation: number
                graph_elements: number
                indexed_lsn: number
                /** @description Points a second that went into the graph lately. */
                insert_rate: number
                /** @description Of their vectors and strings. */
                kept_bytes: number
                /** @description Older versions of points that can still be read. */
                kept_versions: number
                live_points: number
                memory_bytes: number
                payload_bytes: number
                /** @description Points whose text still waits for its vector. */
                pending_texts: number
                raw_bytes: number
                rows: number
                tombstones: number
              } | null
              stream: {
                /** @description Points of one write; 128 where nothing else was said. */
                batch_size: number
                /** @description Points that may wait; 10000 where nothing else was said. */
                buffer_size: number
                /** @description Longest wait for a full batch; 50 where nothing else was said. */
                flush_interval_ms: number
              } | null
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    trace?: never
  }
  '/vectors/indexes/{index}/checkpoint': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Write a checkpoint now */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              lsn: number
              /** @description False where nothing had changed. */
              written: boolean
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/compact': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Free memory and bucket of dead points
     * @description Builds the graph anew, takes dead rows out of memory, and writes a checkpoint that holds none of them and takes the place of all before it. Searches and writes go on.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              before: number
              generation: number
              /** @description Kept and cached graphs that were mostly of no use any more. */
              graphs_dropped: number
              /** @description Dead rows that left memory. */
              rows_dropped: number
              /**
               * @description Where the graph came from; `current` where nothing had to change.
               * @enum {unknown}
               */
              source: 'current' | 'kept' | 'cached' | 'grown' | 'built'
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/documents': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Write documents as chunks, all or none
     * @description Each replaces the document of its id with all its chunks, in one step also where the server crashes. Needs an index with an embedder.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when searchable, or already when durable. */
          ack?: 'applied' | 'logged'
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            chunking?: {
              /**
               * @description A language tag: how sentences end.
               * @default en
               */
              locale?: string
              /**
               * @description Length of a chunk at the most, in UTF-16 code units.
               * @default 1000
               */
              max_chars?: number
              /**
               * @description Sentences that a chunk repeats of the one before, as far as they fit.
               * @default 1
               */
              overlap_sentences?: number
            } | null
            documents: {
              /** @description Chunks are the points "{id}#0", "{id}#1" … */
              id: string
              metadata?: {
                [key: string]: unknown
              } | null
              text: string
            }[]
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Documents of the request. */
              accepted: number
              /** @description Points that they are now. */
              chunks: number
              lsn: number
              /** @description Chunks that they had before and have no longer. */
              removed: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/documents/{id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Read a document: its metadata and its chunks in order */
    get: {
      parameters: {
        query?: {
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
          min_lsn?: number
        }
        header?: never
        path: {
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description In the order of the text. */
              chunks: {
                chunk: number
                end: number
                /** @description That of its point. */
                id: string
                /** @description In the text, in UTF-16 code units. */
                start: number
                text: string | null
                version: number
              }[]
              id: string
              lsn: number
              metadata: {
                [key: string]: unknown
              } | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    /**
     * Delete a document with all its chunks
     * @description An unknown one is no error.
     */
    delete: {
      parameters: {
        query?: {
          /** @description Answer when searchable, or already when durable. */
          ack?: 'applied' | 'logged'
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
        }
        header?: never
        path: {
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              deleted: number
              lsn: number
            }
          }
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/export': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /**
     * The points of an index as a file
     * @description Every write up to the lsn in the header `x-vectord-lsn` is in the file, and none after it. Rows of NDJSON are what POST …/points takes. A file that breaks off resets its connection.
     */
    get: {
      parameters: {
        query?: {
          /** @description A filter as JSON text. */
          filter?: string
          format?: 'parquet' | 'arrow' | 'ndjson' | 'csv'
          include_vectors?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description The file. */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/vnd.apache.arrow.stream': string
            'application/vnd.apache.parquet': string
            'application/x-ndjson': string
            'text/csv; charset=utf-8': string
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/generations': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Generations in memory and kept, and the configuration that is wanted */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              config: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              }
              config_source: string
              generations: {
                config: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                delta_points: number
                elements: number
                generation: number
                graph_id: string | null
                /** @enum {unknown} */
                state: 'published' | 'candidate' | 'stored'
                tombstones: number
              }[]
              published: number | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/health': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** State of an index and its counts */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              checkpoint_lsn: number
              delta_points: number | null
              graph_elements: number | null
              lsn: number
              name: string
              points: number | null
              progress: number
              reason: string | null
              state: string
              tombstones: number | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/points': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /**
     * Scroll through the points in the order of their writes
     * @description A Lance index gives them in the order of their ids.
     */
    get: {
      parameters: {
        query?: {
          cursor?: string
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
          /** @description A filter as JSON text. */
          filter?: string
          /** @description Comma-separated: metadata, vector, text. Metadata alone by default. */
          include?: string
          limit?: number
          min_lsn?: number
          vector_encoding?: 'array' | 'base64'
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              lsn: number
              next_cursor: string | null
              points: {
                id: string
                metadata?: {
                  [key: string]: unknown
                } | null
                text?: string | null
                vector?: (number[] | string) | null
                version: number
              }[]
            }
          }
        }
      }
    }
    put?: never
    /** Upsert points, all or none */
    post: {
      parameters: {
        query?: {
          /** @description Answer when searchable, or already when durable. */
          ack?: 'applied' | 'logged'
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json':
            | {
                points: {
                  id: string
                  metadata?: {
                    [key: string]: unknown
                  } | null
                  text?: string | null
                  vector?: (number[] | string) | null
                }[]
              }
            | {
                ids: string[]
                metadata?: ({
                  [key: string]: unknown
                } | null)[]
                texts?: (string | null)[]
                vectors?: ((number[] | string) | null)[] | string
              }
          'application/vnd.apache.arrow.stream': string
          'application/x-ndjson': string
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Rows of the request. */
              accepted: number
              lsn: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/points/{id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Fetch one point, as it is or one of its kept versions */
    get: {
      parameters: {
        query?: {
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
          /** @description Comma-separated: metadata, vector, text. Metadata alone by default. */
          include?: string
          min_lsn?: number
          vector_encoding?: 'array' | 'base64'
          /** @description The version that this lsn wrote, where it is live or kept. */
          version?: number
        }
        header?: never
        path: {
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              id: string
              metadata?: {
                [key: string]: unknown
              } | null
              text?: string | null
              vector?: (number[] | string) | null
              version: number
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/points/{id}/versions': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /**
     * The kept versions of a point
     * @description The live version and older ones, up to retention.keep_last_versions of the index. A delete counts as a version; it is listed where the version that it ended is kept.
     */
    get: {
      parameters: {
        query?: {
          cursor?: string
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
          /** @description Comma-separated: metadata, vector, text. Metadata alone by default. */
          include?: string
          limit?: number
          min_lsn?: number
          vector_encoding?: 'array' | 'base64'
        }
        header?: never
        path: {
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              id: string
              lsn: number
              next_cursor: string | null
              /** @description Newest first. */
              versions: {
                /** @description The write was a delete. */
                deleted: boolean
                ended_at: number | null
                /** @description It is the point as searches find it. */
                live: boolean
                metadata?: {
                  [key: string]: unknown
                } | null
                text?: string | null
                vector?: (number[] | string) | null
                /** @description The lsn of the write that made it. */
                version: number
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/points/delete': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Delete points by id or by filter
     * @description Unknown ids are no error.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when searchable, or already when durable. */
          ack?: 'applied' | 'logged'
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json':
            | {
                ids: string[]
              }
            | {
                /** @description Conditions on metadata: {"year": {"$gte": 2020}, "$or": [{"lang": "en"}, …]} with $eq $ne $gt $gte $lt $lte $in $nin $exists $and $or $not. */
                filter: {
                  [key: string]: unknown
                }
              }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json':
              | {
                  /** @description Rows of the request. */
                  accepted: number
                  lsn: number
                }
              | {
                  deleted: number
                  lsn: number
                }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/rebuild': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Build a new graph beside serving and publish it
     * @description With the configuration that is promoted, else that of the index. Searches and writes go on.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              before: number
              generation: number
              /**
               * @description Where the graph came from; `current` where nothing had to change.
               * @enum {unknown}
               */
              source: 'current' | 'kept' | 'cached' | 'grown' | 'built'
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/recall': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /**
     * Recall of live searches, as measured on samples that were run again exactly
     * @description Of searches that name no ef of their own. A Lance index has no ef here but its nprobes, in strata. Where ef is chosen by k, an ef is that of k = 10, and other k have theirs in proportion.
     */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              age_s: number | null
              ef: number | null
              /** @enum {unknown} */
              ef_source: 'live' | 'promoted' | 'default'
              generation: number | null
              recall_slo: {
                budget_left: number | null
                goal: number
                /**
                 * @description unknown under 100 samples, and where the newest is older than a day.
                 * @enum {unknown}
                 */
                status: 'ok' | 'at_risk' | 'violated' | 'unknown'
                window: {
                  age_s: number | null
                  samples: number
                }
              }
              sampled_share: number
              /** @description Of this generation and configuration. */
              samples: number
              strata: {
                /** @description The recall has fallen under the goal. */
                alarm: boolean
                ef: number
                /** @description Share of the points that match; 1: no filter. */
                filter_bucket: string
                generation: number | null
                /** @description 95 %, and it holds however often one looks. */
                interval: number[]
                /** @description The k of its searches, such as 1-10. */
                k_bucket: string
                lcb: number | null
                /** @description Samples since the ef last changed. */
                n: number
                recall: number
                /**
                 * @description unknown under 100 samples, and where the newest is older than a day.
                 * @enum {unknown}
                 */
                status: 'ok' | 'at_risk' | 'violated' | 'unknown'
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/search': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Search by vector, by the id of a stored point, or by text */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      /** @description One of vector, id and text must be given; vector and text in mode hybrid. */
      requestBody: {
        content: {
          'application/json': {
            as_of?: number | null
            deadline_ms?: number
            ef?: number | null
            /**
             * @description Ground truth by a scan.
             * @default false
             */
            exact?: boolean
            filter?: {
              [key: string]: unknown
            } | null
            /** @description A stored point; it is left out itself. */
            id?: string
            /** @description What the answer holds of each point; metadata alone by default. highlights, with "text": where the words of the query are in the text of the point. */
            include?: ('metadata' | 'vector' | 'text' | 'highlights')[]
            /** @default 10 */
            k?: number
            min_lsn?: number
            /**
             * @description How "text" is searched: vector (embedded, the nearest points), keyword (its words in the texts of points, ranked by BM25; a point is found that has one of them), hybrid (both, joined by reciprocal rank fusion; with "vector" that one is used in place of the embedded text). Left out: vector where the index has an embedder, keyword where it has none. "exact" and "ef" concern the vector side alone.
             * @enum {string}
             */
            mode?: 'vector' | 'keyword' | 'hybrid'
            /** @description What to look for by meaning, by its words, or both: see mode. */
            text?: string
            /** @description As many numbers as the index has dimensions. */
            vector?: number[] | string
            /**
             * @default array
             * @enum {string}
             */
            vector_encoding?: 'array' | 'base64'
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Only where the query had it. */
              as_of?: {
                /** @description False where a version that held then may have been given up since. */
                complete: boolean
                /** @description As of this lsn and later nothing is missing. */
                complete_from: number
                lsn: number
              }
              /** @description default, or promoted:{trial_id}. */
              config_source: string
              /** @description 0 on the exact path. */
              ef_used: number
              /** @description Fewer than k live points match at all; of keywords, have one of the words. */
              exhausted: boolean
              generation: number
              lsn: number
              /** @enum {unknown} */
              path:
                'exact' | 'graph' | 'graph_filtered' | 'keyword' | 'hybrid' | 'ivf' | 'ivf_filtered'
              /** @description Nearest first. */
              results: {
                distance: number | null
                /** @description In order; the first ones. */
                highlights?: {
                  /** @description Exclusive. */
                  end: number
                  /** @description In UTF-16 units, as JavaScript counts. */
                  start: number
                  /** @description The word as it is compared: folded, in lower case. */
                  term: string
                }[]
                id: string
                metadata?: {
                  [key: string]: unknown
                } | null
                /** @description Of mode hybrid: the places among the candidates of each side. */
                ranks?: {
                  keyword: number | null
                  vector: number | null
                }
                score: number | null
                text?: string | null
                vector?: (number[] | string) | null
                version: number
              }[]
              took_ms: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/search/batch': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Many searches in one request */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            queries: {
              as_of?: number | null
              deadline_ms?: number
              ef?: number | null
              /**
               * @description Ground truth by a scan.
               * @default false
               */
              exact?: boolean
              filter?: {
                [key: string]: unknown
              } | null
              /** @description A stored point; it is left out itself. */
              id?: string
              /** @description What the answer holds of each point; metadata alone by default. highlights, with "text": where the words of the query are in the text of the point. */
              include?: ('metadata' | 'vector' | 'text' | 'highlights')[]
              /** @default 10 */
              k?: number
              min_lsn?: number
              /**
               * @description How "text" is searched: vector (embedded, the nearest points), keyword (its words in the texts of points, ranked by BM25; a point is found that has one of them), hybrid (both, joined by reciprocal rank fusion; with "vector" that one is used in place of the embedded text). Left out: vector where the index has an embedder, keyword where it has none. "exact" and "ef" concern the vector side alone.
               * @enum {string}
               */
              mode?: 'vector' | 'keyword' | 'hybrid'
              /** @description What to look for by meaning, by its words, or both: see mode. */
              text?: string
              /** @description As many numbers as the index has dimensions. */
              vector?: number[] | string
              /**
               * @default array
               * @enum {string}
               */
              vector_encoding?: 'array' | 'base64'
            }[]
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description In the order of the queries; a failed one has its error in its place. */
              answers: (
                | {
                    /** @description Only where the query had it. */
                    as_of?: {
                      /** @description False where a version that held then may have been given up since. */
                      complete: boolean
                      /** @description As of this lsn and later nothing is missing. */
                      complete_from: number
                      lsn: number
                    }
                    /** @description default, or promoted:{trial_id}. */
                    config_source: string
                    /** @description 0 on the exact path. */
                    ef_used: number
                    /** @description Fewer than k live points match at all; of keywords, have one of the words. */
                    exhausted: boolean
                    generation: number
                    lsn: number
                    /** @enum {unknown} */
                    path:
                      | 'exact'
                      | 'graph'
                      | 'graph_filtered'
                      | 'keyword'
                      | 'hybrid'
                      | 'ivf'
                      | 'ivf_filtered'
                    /** @description Nearest first. */
                    results: {
                      distance: number | null
                      /** @description In order; the first ones. */
                      highlights?: {
                        /** @description Exclusive. */
                        end: number
                        /** @description In UTF-16 units, as JavaScript counts. */
                        start: number
                        /** @description The word as it is compared: folded, in lower case. */
                        term: string
                      }[]
                      id: string
                      metadata?: {
                        [key: string]: unknown
                      } | null
                      /** @description Of mode hybrid: the places among the candidates of each side. */
                      ranks?: {
                        keyword: number | null
                        vector: number | null
                      }
                      score: number | null
                      text?: string | null
                      vector?: (number[] | string) | null
                      version: number
                    }[]
                    took_ms: number
                  }
                | {
                    error: {
                      /** @enum {string} */
                      code:
                        | 'bad_request'
                        | 'malformed_body'
                        | 'invalid_name'
                        | 'invalid_points'
                        | 'invalid_vector'
                        | 'vector_dimension_mismatch'
                        | 'invalid_value'
                        | 'file_corrupt'
                        | 'invalid_filter'
                        | 'invalid_cursor'
                        | 'limit_exceeded'
                        | 'body_too_large'
                        | 'unsupported_media_type'
                        | 'revision_mismatch'
                        | 'idempotency_key_reused'
                        | 'request_quarantined'
                        | 'embedder_failed'
                        | 'source_auth_failed'
                        | 'source_tls_failed'
                        | 'source_failed'
                        | 'source_value_refused'
                        | 'unauthenticated'
                        | 'forbidden'
                        | 'bucket_protected'
                        | 'out_of_scope'
                        | 'rate_limited'
                        | 'route_not_found'
                        | 'index_not_found'
                        | 'point_not_found'
                        | 'point_not_embedded'
                        | 'bucket_not_found'
                        | 'object_not_found'
                        | 'operation_not_found'
                        | 'generation_not_found'
                        | 'generation_exists'
                        | 'trial_not_found'
                        | 'eval_not_found'
                        | 'dead_letter_not_found'
                        | 'profile_not_found'
                        | 'profile_active'
                        | 'profile_not_active'
                        | 'dataset_not_found'
                        | 'dataset_schema_mismatch'
                        | 'document_not_found'
                        | 'watch_not_found'
                        | 'ingest_under_way'
                        | 'snapshot_not_found'
                        | 'snapshot_in_use'
                        | 'document_conflict'
                        | 'source_not_found'
                        | 'index_exists'
                        | 'bucket_exists'
                        | 'bucket_in_use'
                        | 'object_exists'
                        | 'operation_cancelled'
                        | 'not_configured'
                        | 'stream_not_enabled'
                        | 'no_promotion_to_roll_back'
                        | 'nothing_to_roll_forward'
                        | 'nothing_to_pin'
                        | 'promotion_pinned'
                        | 'acknowledgement_needed'
                        | 'agent_held'
                        | 'model_not_found'
                        | 'embedder_mismatch'
                        | 'lance_version_gone'
                        | 'lance_too_few_rows'
                        | 'wrong_backend'
                        | 'points_exist'
                        | 'delta_full'
                        | 'stream_buffer_full'
                        | 'too_many_exports'
                        | 'core_suspended'
                        | 'core_degraded'
                        | 'builder_failed'
                        | 'ingest_failed'
                        | 'core_unavailable'
                        | 'index_loading'
                        | 'index_unavailable'
                        | 'index_moving'
                        | 'keywords_loading'
                        | 'not_owner'
                        | 'bucket_unreachable'
                        | 'embedder_unavailable'
                        | 'model_server_unavailable'
                        | 'source_unreachable'
                        | 'overloaded'
                        | 'journal_full'
                        | 'stream_draining'
                        | 'stream_stopped'
                        | 'dead_letters_full'
                        | 'shutting_down'
                        | 'deadline_exceeded'
                        | 'storage_full'
                        | 'memory_full'
                        | 'log_fenced'
                        | 'log_corrupt'
                        | 'object_corrupt'
                        | 'format_too_new'
                        | 'storage_error'
                        | 'internal'
                        | 'invalid_config'
                        | 'root_locked'
                      details: {
                        [key: string]: unknown
                      }
                      message: string
                      retryable: boolean
                    }
                    status: number
                  }
              )[]
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/search/groups': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Search for groups of points that share a value, as the chunks of a document do */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      /** @description And every field of a search, which mean here what they mean there. */
      requestBody: {
        content: {
          'application/json': {
            /** @description A field of the metadata, dotted where it is nested. Points in which it is no string, number or boolean form no group. */
            group_by: string
            /**
             * @description Hits of each group at the most.
             * @default 3
             */
            group_size?: number
            /**
             * @description Groups.
             * @default 10
             */
            k?: number
          } & {
            [key: string]: unknown
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description False where 10 searches of the largest k did not bring every group, or not every hit of one: what is there is still the nearest. */
              complete: boolean
              /** @description default, or promoted:{trial_id}. */
              config_source: string
              /** @description Fewer than k groups match at all. */
              exhausted: boolean
              /** @description In the order of their nearest hits. */
              groups: {
                /** @description Nearest first. */
                hits: {
                  distance: number | null
                  /** @description In order; the first ones. */
                  highlights?: {
                    /** @description Exclusive. */
                    end: number
                    /** @description In UTF-16 units, as JavaScript counts. */
                    start: number
                    /** @description The word as it is compared: folded, in lower case. */
                    term: string
                  }[]
                  id: string
                  metadata?: {
                    [key: string]: unknown
                  } | null
                  /** @description Of mode hybrid: the places among the candidates of each side. */
                  ranks?: {
                    keyword: number | null
                    vector: number | null
                  }
                  score: number | null
                  text?: string | null
                  vector?: (number[] | string) | null
                  version: number
                }[]
                key: string | number | boolean
              }[]
              lsn: number
              /** @description What it took. */
              searches: number
              took_ms: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/snapshots': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Snapshots of an index, newest first, also where it is gone */
    get: {
      parameters: {
        query?: {
          /** @description Where the snapshot is: the home of the index by default, or the primary bucket. */
          bucket?: string
          /** @description Younger ones sort behind. */
          cursor?: string
          limit?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Snapshots whose document cannot be read. */
              errors: {
                error: {
                  /** @enum {string} */
                  code:
                    | 'bad_request'
                    | 'malformed_body'
                    | 'invalid_name'
                    | 'invalid_points'
                    | 'invalid_vector'
                    | 'vector_dimension_mismatch'
                    | 'invalid_value'
                    | 'file_corrupt'
                    | 'invalid_filter'
                    | 'invalid_cursor'
                    | 'limit_exceeded'
                    | 'body_too_large'
                    | 'unsupported_media_type'
                    | 'revision_mismatch'
                    | 'idempotency_key_reused'
                    | 'request_quarantined'
                    | 'embedder_failed'
                    | 'source_auth_failed'
                    | 'source_tls_failed'
                    | 'source_failed'
                    | 'source_value_refused'
                    | 'unauthenticated'
                    | 'forbidden'
                    | 'bucket_protected'
                    | 'out_of_scope'
                    | 'rate_limited'
                    | 'route_not_found'
                    | 'index_not_found'
                    | 'point_not_found'
                    | 'point_not_embedded'
                    | 'bucket_not_found'
                    | 'object_not_found'
                    | 'operation_not_found'
                    | 'generation_not_found'
                    | 'generation_exists'
                    | 'trial_not_found'
                    | 'eval_not_found'
                    | 'dead_letter_not_found'
                    | 'profile_not_found'
                    | 'profile_active'
                    | 'profile_not_active'
                    | 'dataset_not_found'
                    | 'dataset_schema_mismatch'
                    | 'document_not_found'
                    | 'watch_not_found'
                    | 'ingest_under_way'
                    | 'snapshot_not_found'
                    | 'snapshot_in_use'
                    | 'document_conflict'
                    | 'source_not_found'
                    | 'index_exists'
                    | 'bucket_exists'
                    | 'bucket_in_use'
                    | 'object_exists'
                    | 'operation_cancelled'
                    | 'not_configured'
                    | 'stream_not_enabled'
                    | 'no_promotion_to_roll_back'
                    | 'nothing_to_roll_forward'
                    | 'nothing_to_pin'
                    | 'promotion_pinned'
                    | 'acknowledgement_needed'
                    | 'agent_held'
                    | 'model_not_found'
                    | 'embedder_mismatch'
                    | 'lance_version_gone'
                    | 'lance_too_few_rows'
                    | 'wrong_backend'
                    | 'points_exist'
                    | 'delta_full'
                    | 'stream_buffer_full'
                    | 'too_many_exports'
                    | 'core_suspended'
                    | 'core_degraded'
                    | 'builder_failed'
                    | 'ingest_failed'
                    | 'core_unavailable'
                    | 'index_loading'
                    | 'index_unavailable'
                    | 'index_moving'
                    | 'keywords_loading'
                    | 'not_owner'
                    | 'bucket_unreachable'
                    | 'embedder_unavailable'
                    | 'model_server_unavailable'
                    | 'source_unreachable'
                    | 'overloaded'
                    | 'journal_full'
                    | 'stream_draining'
                    | 'stream_stopped'
                    | 'dead_letters_full'
                    | 'shutting_down'
                    | 'deadline_exceeded'
                    | 'storage_full'
                    | 'memory_full'
                    | 'log_fenced'
                    | 'log_corrupt'
                    | 'object_corrupt'
                    | 'format_too_new'
                    | 'storage_error'
                    | 'internal'
                    | 'invalid_config'
                    | 'root_locked'
                  details: {
                    [key: string]: unknown
                  }
                  message: string
                  retryable: boolean
                }
                /** @description Younger ones sort behind. */
                id: string
              }[]
              next_cursor: string | null
              /** @description Newest first. */
              snapshots: {
                bucket: string
                bytes: number
                created_at: string
                created_by: string
                dimension: number
                embedder: string | null
                files: number
                /** @description Younger ones sort behind. */
                id: string
                index: string
                lsn: number
                /** @enum {unknown} */
                metric: 'cosine' | 'l2' | 'ip'
                note: string | null
                points: number
                promoted_trial_id: string | null
                shards: number
              }[]
            }
          }
        }
      }
    }
    put?: never
    /**
     * Make a snapshot of an index
     * @description Writes go on; every write that was acknowledged before is in it.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @description Where to put it: the home of the index by default. */
            bucket?: string
            note?: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              bytes: number
              created_at: string
              created_by: string
              dimension: number
              embedder: string | null
              files: number
              /** @description Younger ones sort behind. */
              id: string
              index: string
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              note: string | null
              points: number
              promoted_trial_id: string | null
              shards: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/snapshots/{id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** A snapshot */
    get: {
      parameters: {
        query?: {
          /** @description Where the snapshot is: the home of the index by default, or the primary bucket. */
          bucket?: string
        }
        header?: never
        path: {
          /** @description Younger ones sort behind. */
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              bytes: number
              created_at: string
              created_by: string
              dimension: number
              embedder: string | null
              files: number
              /** @description Younger ones sort behind. */
              id: string
              index: string
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              note: string | null
              points: number
              promoted_trial_id: string | null
              shards: number
            }
          }
        }
      }
    }
    put?: never
    post?: never
    /** Remove a snapshot */
    delete: {
      parameters: {
        query?: {
          /** @description Where the snapshot is: the home of the index by default, or the primary bucket. */
          bucket?: string
        }
        header?: never
        path: {
          /** @description Younger ones sort behind. */
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/snapshots/{id}/copy': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Copy a snapshot to another bucket, under the same id */
    post: {
      parameters: {
        query?: {
          /** @description Where the snapshot is: the home of the index by default, or the primary bucket. */
          bucket?: string
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          /** @description Younger ones sort behind. */
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            bucket: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              bytes: number
              created_at: string
              created_by: string
              dimension: number
              embedder: string | null
              files: number
              /** @description Younger ones sort behind. */
              id: string
              index: string
              lsn: number
              /** @enum {unknown} */
              metric: 'cosine' | 'l2' | 'ip'
              note: string | null
              points: number
              promoted_trial_id: string | null
              shards: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/snapshots/{id}/restore': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Make a new index of a snapshot
     * @description It exists whole or not at all, and goes on with the lsn of the snapshot.
     */
    post: {
      parameters: {
        query?: {
          /** @description Where the snapshot is: the home of the index by default, or the primary bucket. */
          bucket?: string
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          /** @description Younger ones sort behind. */
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @description Its home: the bucket of the snapshot by default. */
            bucket?: string
            /** @description Of the new index. */
            name: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              index: {
                /** @enum {unknown} */
                backend: 'hnsw' | 'lance'
                bucket: string
                checkpoint_lsn: number
                compaction: {
                  last_at: string | null
                  /** @description Share that is dead of the rows in memory or of the graph: the larger one. */
                  ratio: number
                }
                created_at: string
                dimension: number
                embedder: {
                  dimension: number
                  model: string
                  /** @description As configured when the index got it. */
                  name: string
                  /** @description Its vectors have unit length. */
                  normalised: boolean
                  version: string
                } | null
                hnsw: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                }
                lance: {
                  ef: number | null
                  index_kind: ('ivf_pq' | 'ivf_hnsw_sq') | null
                  nprobes: number | null
                  refine_factor: number | null
                  shown: {
                    at: string
                    k: number
                    /** @description What was asked for. */
                    min_recall: number
                    /** @description That the settings were not chosen by. */
                    queries: number
                    recall: number
                    /** @description One-sided lower 95 % bound. */
                    recall_lcb: number
                    version: number
                  } | null
                } | null
                log_bytes: number
                lsn: number
                /** @enum {unknown} */
                metric: 'cosine' | 'l2' | 'ip'
                name: string
                owner: string | null
                points: number | null
                progress: number
                reason: string | null
                retention: {
                  keep_last_versions: number
                }
                revision: number
                role: ('owner' | 'follower') | null
                shards: number
                /** @enum {unknown} */
                state: 'loading' | 'ready' | 'degraded' | 'unavailable' | 'deleting'
                stats: {
                  applied_lsn: number
                  dead_rows: number
                  delta_points: number
                  generation: number
                  graph_elements: number
                  indexed_lsn: number
                  /** @description Points a second that went into the graph lately. */
                  insert_rate: number
                  /** @description Of their vectors and strings. */
                  kept_bytes: number
                  /** @description Older versions of points that can still be read. */
                  kept_versions: number
                  live_points: number
                  memory_bytes: number
                  payload_bytes: number
                  /** @description Points whose text still waits for its vector. */
                  pending_texts: number
                  raw_bytes: number
                  rows: number
                  tombstones: number
                } | null
                stream: {
                  /** @description Points of one write; 128 where nothing else was said. */
                  batch_size: number
                  /** @description Points that may wait; 10000 where nothing else was said. */
                  buffer_size: number
                  /** @description Longest wait for a full batch; 50 where nothing else was said. */
                  flush_interval_ms: number
                } | null
              }
              /** @description Keys of damaged graph files; these graphs are built again. */
              left_out: string[]
              snapshot: {
                bucket: string
                bytes: number
                created_at: string
                created_by: string
                dimension: number
                embedder: string | null
                files: number
                /** @description Younger ones sort behind. */
                id: string
                index: string
                lsn: number
                /** @enum {unknown} */
                metric: 'cosine' | 'l2' | 'ip'
                note: string | null
                points: number
                promoted_trial_id: string | null
                shards: number
              }
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/snapshots/{id}/verify': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Compare every file of a snapshot with its checksum */
    post: {
      parameters: {
        query?: {
          /** @description Where the snapshot is: the home of the index by default, or the primary bucket. */
          bucket?: string
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          /** @description Younger ones sort behind. */
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bytes: number
              clean: boolean
              faults: {
                key: string
                problem: string
              }[]
              files: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/storage': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /**
     * Objects and bytes of an index in its bucket, and what they are for
     * @description Lists the bucket. Live: needed now. Superseded: older checkpoints, graphs kept for going back or cached, log before the newest checkpoint. Orphaned: being written, or left by a crash.
     */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: string
              /** @description What was deleted since the start of the server, by kind. */
              dropped: {
                [key: string]: {
                  bytes: number
                  objects: number
                }
              }
              folders: {
                folder: string
                live: {
                  bytes: number
                  objects: number
                }
                orphaned: {
                  bytes: number
                  objects: number
                }
                superseded: {
                  bytes: number
                  objects: number
                }
              }[]
              live: {
                bytes: number
                objects: number
              }
              name: string
              orphaned: {
                bytes: number
                objects: number
              }
              superseded: {
                bytes: number
                objects: number
              }
              total: {
                bytes: number
                objects: number
              }
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/stream': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Settings, fill and totals of a stream */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Points that wait for the log. */
              buffered_points: number
              dead_letters: number | null
              drain_rate: number | null
              flushes: {
                drain: number
                size: number
                time: number
              }
              index: string
              last_error: {
                at: string
                code: string
                message: string
              } | null
              oldest_ms: number | null
              settings: {
                /** @description Points of one write; 128 where nothing else was said. */
                batch_size: number
                /** @description Points that may wait; 10000 where nothing else was said. */
                buffer_size: number
                /** @description Longest wait for a full batch; 50 where nothing else was said. */
                flush_interval_ms: number
              }
              /** @enum {unknown} */
              state: 'running' | 'draining' | 'stopped'
              /** @description Points since the start of the server. */
              totals: {
                accepted: number
                dead_lettered: number
                /** @description Points that left the buffer with an error. */
                failed: number
                logged: number
                /** @description Points that found no room. */
                refused: number
                /** @description Batches that were tried again. */
                retries: number
              }
              /** @description Points in the log that no search sees yet. */
              unapplied_points: number
              waiting_requests: number
            }
          }
        }
      }
    }
    put?: never
    /**
     * Stream points: 202 when all are durable
     * @description Points of many requests share a write. What the buffer has no room for is refused with 429: details.accepted of the first points are durable, first_refused is where to go on.
     */
    post: {
      parameters: {
        query?: {
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json':
            | {
                points: {
                  id: string
                  metadata?: {
                    [key: string]: unknown
                  } | null
                  text?: string | null
                  vector?: (number[] | string) | null
                }[]
              }
            | {
                ids: string[]
                metadata?: ({
                  [key: string]: unknown
                } | null)[]
                texts?: (string | null)[]
                vectors?: ((number[] | string) | null)[] | string
              }
          'application/vnd.apache.arrow.stream': string
          'application/x-ndjson': string
        }
      }
      responses: {
        /** @description They are durable, and every later read sees them. */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Points of the request: all of them. */
              accepted: number
              /** @description How many of them are dead letters. */
              dead_lettered?: number
              lsn: number | null
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/stream/dead-letters': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** List the points that could not be written, oldest first */
    get: {
      parameters: {
        query?: {
          cursor?: string
          limit?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              dead_letters: {
                at: string
                id: string
                point: {
                  id: string
                  metadata: {
                    [key: string]: unknown
                  } | null
                  text: string | null
                  vector: number[] | null
                }
                reason: {
                  code: string
                  message: string
                }
              }[]
              next_cursor: string | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/stream/dead-letters/{id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    post?: never
    /** Delete a dead letter with its point */
    delete: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/stream/dead-letters/requeue': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Stream dead letters again
     * @description Those that are named, or the oldest 1000. Deleted once they are logged.
     */
    post: {
      parameters: {
        query?: {
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            ids?: string[]
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Letters whose points failed again. */
              failed: string[]
              lsn: number | null
              /** @description Letters that are gone: their points are logged. */
              requeued: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/indexes/{index}/verify': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Check log, checkpoint and shards against each other */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              clean: boolean
              faults: {
                detail: string
                what: string
              }[]
              live_points: number
              log_records: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/append/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Append points that are new, all or none
     * @description An id that is there is refused: 409. Nothing that is there is written anew.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when searchable, or already when durable. */
          ack?: 'applied' | 'logged'
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json':
            | {
                points: {
                  id: string
                  metadata?: {
                    [key: string]: unknown
                  } | null
                  text?: string | null
                  vector?: (number[] | string) | null
                }[]
              }
            | {
                ids: string[]
                metadata?: ({
                  [key: string]: unknown
                } | null)[]
                texts?: (string | null)[]
                vectors?: ((number[] | string) | null)[] | string
              }
          'application/vnd.apache.arrow.stream': string
          'application/x-ndjson': string
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Rows of the request. */
              accepted: number
              lsn: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/doc/{index}/{doc_id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** One point, as it is or as it was in a version */
    get: {
      parameters: {
        query?: {
          /** @description The point as it was in this version. */
          as_of?: number
          /** @description Milliseconds after which the answer is 504. */
          deadline_ms?: number
          /** @description Comma-separated: metadata, vector, text. Metadata alone by default. */
          include?: string
          min_lsn?: number
          vector_encoding?: 'array' | 'base64'
        }
        header?: never
        path: {
          doc_id: string
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              id: string
              metadata?: {
                [key: string]: unknown
              } | null
              text?: string | null
              vector?: (number[] | string) | null
              version: number
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/index/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Build an index of the vectors, and choose its settings by measured recall
     * @description In place of the one that there is. Searches and writes go on meanwhile.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @default 10 */
            k?: number
            /** @enum {unknown} */
            kind: 'ivf_pq' | 'ivf_hnsw_sq'
            /** @description Floor of the recall; recall.goal of the configuration where it is left out. */
            min_recall?: number
            /**
             * @description Sampled rows: half of them choose settings, half of them show what they find.
             * @default 200
             */
            queries?: number
            /**
             * @description false measures alone, and changes nothing.
             * @default true
             */
            solve?: boolean
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              kind: 'ivf_pq' | 'ivf_hnsw_sq'
              recall: {
                current: {
                  ef: number | null
                  nprobes: number | null
                  queries: number
                  recall: number
                  /** @description One-sided 95 %, as the upper bound. */
                  recall_lcb: number
                  /** @description Nine of ten queries have at least this. */
                  recall_p10: number
                  recall_ucb: number
                  refine_factor: number | null
                  took_ms_p50: number
                }
                index: string
                index_kind: string | null
                k: number
                min_recall: number
                solved: {
                  /** @description false: the settings before are as good. */
                  changed: boolean
                  kept: {
                    ef: number | null
                    nprobes: number | null
                    queries: number
                    recall: number
                    /** @description One-sided 95 %, as the upper bound. */
                    recall_lcb: number
                    /** @description Nine of ten queries have at least this. */
                    recall_p10: number
                    recall_ucb: number
                    refine_factor: number | null
                    took_ms_p50: number
                  }
                  /** @description The lower bound of what is kept is at the floor. */
                  reached: boolean
                  /** @description On the half that chooses. */
                  tried: {
                    ef: number | null
                    nprobes: number | null
                    queries: number
                    recall: number
                    /** @description One-sided 95 %, as the upper bound. */
                    recall_lcb: number
                    /** @description Nine of ten queries have at least this. */
                    recall_p10: number
                    recall_ucb: number
                    refine_factor: number | null
                    took_ms_p50: number
                  }[]
                } | null
                version: number
              } | null
              version: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/migrate/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Copy the points of an index into a new one of the other backend
     * @description As of one lsn. The new index is there when all of its points are, or not at all.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @description That of the source where it is left out. */
            bucket?: string
            /** @description Of the new index. */
            name: string
            /**
             * @description The backend that the source has not.
             * @enum {unknown}
             */
            to: 'hnsw' | 'lance'
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              backend: 'hnsw' | 'lance'
              bucket: string
              index: string
              points: number
              source: string
              /** @description The state of the source that was copied. */
              source_lsn: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/optimize/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Merge files, take new rows into the indices, drop old versions */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              version: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/recall/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Measure recall against exact search, and solve the search settings for a floor
     * @description The cheapest settings whose lower bound reaches the floor, on queries that they were not chosen by, are stored with what was shown of them. Where nothing reaches it, the best are.
     */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @default 10 */
            k?: number
            /** @description Floor of the recall; recall.goal of the configuration where it is left out. */
            min_recall?: number
            /**
             * @description Sampled rows: half of them choose settings, half of them show what they find.
             * @default 200
             */
            queries?: number
            /**
             * @description false measures alone, and changes nothing.
             * @default true
             */
            solve?: boolean
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              current: {
                ef: number | null
                nprobes: number | null
                queries: number
                recall: number
                /** @description One-sided 95 %, as the upper bound. */
                recall_lcb: number
                /** @description Nine of ten queries have at least this. */
                recall_p10: number
                recall_ucb: number
                refine_factor: number | null
                took_ms_p50: number
              }
              index: string
              index_kind: string | null
              k: number
              min_recall: number
              solved: {
                /** @description false: the settings before are as good. */
                changed: boolean
                kept: {
                  ef: number | null
                  nprobes: number | null
                  queries: number
                  recall: number
                  /** @description One-sided 95 %, as the upper bound. */
                  recall_lcb: number
                  /** @description Nine of ten queries have at least this. */
                  recall_p10: number
                  recall_ucb: number
                  refine_factor: number | null
                  took_ms_p50: number
                }
                /** @description The lower bound of what is kept is at the floor. */
                reached: boolean
                /** @description On the half that chooses. */
                tried: {
                  ef: number | null
                  nprobes: number | null
                  queries: number
                  recall: number
                  /** @description One-sided 95 %, as the upper bound. */
                  recall_lcb: number
                  /** @description Nine of ten queries have at least this. */
                  recall_p10: number
                  recall_ucb: number
                  refine_factor: number | null
                  took_ms_p50: number
                }[]
              } | null
              version: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/scalar-index/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Build a BTree of the ids: points are fetched faster */
    post: {
      parameters: {
        query?: {
          /** @description Answer when it is done. */
          wait?: boolean
        }
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              version: number
            }
          }
        }
        /** @description Default Response */
        202: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description For GET and DELETE /operations/{id}. */
              operation_id: string
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/search/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Search a Lance index with settings of one's own */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      /** @description As a search of any index, with settings of its own. */
      requestBody: {
        content: {
          'application/json': {
            as_of?: number | null
            deadline_ms?: number
            ef?: number | null
            /**
             * @description Ground truth by a scan.
             * @default false
             */
            exact?: boolean
            filter?: {
              [key: string]: unknown
            } | null
            /** @description A stored point; it is left out itself. */
            id?: string
            /** @description What the answer holds of each point; metadata alone by default. highlights, with "text": where the words of the query are in the text of the point. */
            include?: ('metadata' | 'vector' | 'text' | 'highlights')[]
            /** @default 10 */
            k?: number
            min_lsn?: number
            /**
             * @description How "text" is searched: vector (embedded, the nearest points), keyword (its words in the texts of points, ranked by BM25; a point is found that has one of them), hybrid (both, joined by reciprocal rank fusion; with "vector" that one is used in place of the embedded text). Left out: vector where the index has an embedder, keyword where it has none. "exact" and "ef" concern the vector side alone.
             * @enum {string}
             */
            mode?: 'vector' | 'keyword' | 'hybrid'
            nprobes?: number
            refine_factor?: number | null
            /** @description What to look for by meaning, by its words, or both: see mode. */
            text?: string
            /** @description As many numbers as the index has dimensions. */
            vector?: number[] | string
            /**
             * @default array
             * @enum {string}
             */
            vector_encoding?: 'array' | 'base64'
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Only where the query had it. */
              as_of?: {
                /** @description False where a version that held then may have been given up since. */
                complete: boolean
                /** @description As of this lsn and later nothing is missing. */
                complete_from: number
                lsn: number
              }
              /** @description default, or promoted:{trial_id}. */
              config_source: string
              /** @description 0 on the exact path. */
              ef_used: number
              /** @description Fewer than k live points match at all; of keywords, have one of the words. */
              exhausted: boolean
              generation: number
              lsn: number
              /** @enum {unknown} */
              path:
                'exact' | 'graph' | 'graph_filtered' | 'keyword' | 'hybrid' | 'ivf' | 'ivf_filtered'
              /** @description Nearest first. */
              results: {
                distance: number | null
                /** @description In order; the first ones. */
                highlights?: {
                  /** @description Exclusive. */
                  end: number
                  /** @description In UTF-16 units, as JavaScript counts. */
                  start: number
                  /** @description The word as it is compared: folded, in lower case. */
                  term: string
                }[]
                id: string
                metadata?: {
                  [key: string]: unknown
                } | null
                /** @description Of mode hybrid: the places among the candidates of each side. */
                ranks?: {
                  keyword: number | null
                  vector: number | null
                }
                score: number | null
                text?: string | null
                vector?: (number[] | string) | null
                version: number
              }[]
              took_ms: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/stats/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Rows, files and indices of the table */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Of all versions, and of the indices. */
              bytes: number
              /** @description Files of rows: merged when there are many. */
              fragments: number
              index: string
              indices: {
                column: string
                indexed_rows: number
                kind: string
                name: string
                /** @description Found too, one by one. */
                unindexed_rows: number
              }[]
              rows: number
              settings: {
                ef: number | null
                index_kind: ('ivf_pq' | 'ivf_hnsw_sq') | null
                nprobes: number | null
                refine_factor: number | null
                shown: {
                  at: string
                  k: number
                  /** @description What was asked for. */
                  min_recall: number
                  /** @description That the settings were not chosen by. */
                  queries: number
                  recall: number
                  /** @description One-sided lower 95 % bound. */
                  recall_lcb: number
                  version: number
                } | null
              }
              version: number
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/lance/versions/{index}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** Versions of the table that can be read, by as_of */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          index: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              index: string
              /** @description Those that can still be read, oldest first. */
              versions: {
                created_at: string
                version: number
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/profile/{id}/activate': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Bring the model of a profile into memory, after that of the profile before went
     * @description A model that is in memory is left alone. Indexes that cannot be warmed up are listed in `failures`, and the profile is active all the same.
     */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              bucket: {
                name: string
                provisioned: boolean
              } | null
              /** @description Bound indexes that could not be warmed up. */
              failures: {
                code: string
                index: string
                message: string
              }[]
              model: string
              /** @description False: the model was there and was left alone. */
              preloaded: boolean
              profile: string
              /** @description Of the GPU slot. */
              revision: number
              /** @enum {string} */
              state: 'active'
              /** @description Models that went. */
              unloaded: string[]
              warmed: {
                /** @description default, or promoted:{trial_id}. */
                config_source: string
                /** @description 0 on the exact path. */
                ef_used: number
                index: string
                searches: number
                took_ms: number
              }[]
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/profile/{id}/deactivate': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Take the model of the active profile out of memory, and clear the GPU slot */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              profile: string
              revision: number
              /** @enum {string} */
              state: 'empty'
              unloaded: string[]
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/profile/{id}/search': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /**
     * Search an index that is bound to a profile
     * @description Another index: 403 `out_of_scope`, with those that are bound.
     */
    post: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
        }
        cookie?: never
      }
      /** @description A search as of an index, and the index. */
      requestBody: {
        content: {
          'application/json': {
            as_of?: number | null
            deadline_ms?: number
            ef?: number | null
            /**
             * @description Ground truth by a scan.
             * @default false
             */
            exact?: boolean
            filter?: {
              [key: string]: unknown
            } | null
            /** @description A stored point; it is left out itself. */
            id?: string
            /** @description What the answer holds of each point; metadata alone by default. highlights, with "text": where the words of the query are in the text of the point. */
            include?: ('metadata' | 'vector' | 'text' | 'highlights')[]
            index: string
            /** @default 10 */
            k?: number
            min_lsn?: number
            /**
             * @description How "text" is searched: vector (embedded, the nearest points), keyword (its words in the texts of points, ranked by BM25; a point is found that has one of them), hybrid (both, joined by reciprocal rank fusion; with "vector" that one is used in place of the embedded text). Left out: vector where the index has an embedder, keyword where it has none. "exact" and "ef" concern the vector side alone.
             * @enum {string}
             */
            mode?: 'vector' | 'keyword' | 'hybrid'
            /** @description What to look for by meaning, by its words, or both: see mode. */
            text?: string
            /** @description As many numbers as the index has dimensions. */
            vector?: number[] | string
            /**
             * @default array
             * @enum {string}
             */
            vector_encoding?: 'array' | 'base64'
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Only where the query had it. */
              as_of?: {
                /** @description False where a version that held then may have been given up since. */
                complete: boolean
                /** @description As of this lsn and later nothing is missing. */
                complete_from: number
                lsn: number
              }
              /** @description default, or promoted:{trial_id}. */
              config_source: string
              /** @description 0 on the exact path. */
              ef_used: number
              /** @description Fewer than k live points match at all; of keywords, have one of the words. */
              exhausted: boolean
              generation: number
              lsn: number
              /** @enum {unknown} */
              path:
                'exact' | 'graph' | 'graph_filtered' | 'keyword' | 'hybrid' | 'ivf' | 'ivf_filtered'
              /** @description Nearest first. */
              results: {
                distance: number | null
                /** @description In order; the first ones. */
                highlights?: {
                  /** @description Exclusive. */
                  end: number
                  /** @description In UTF-16 units, as JavaScript counts. */
                  start: number
                  /** @description The word as it is compared: folded, in lower case. */
                  term: string
                }[]
                id: string
                metadata?: {
                  [key: string]: unknown
                } | null
                /** @description Of mode hybrid: the places among the candidates of each side. */
                ranks?: {
                  keyword: number | null
                  vector: number | null
                }
                score: number | null
                text?: string | null
                vector?: (number[] | string) | null
                version: number
              }[]
              took_ms: number
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/profile/active': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** The GPU slot, held against what the model server says now */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              by: string | null
              fault: {
                code: string
                message: string
              } | null
              model: string | null
              model_loaded: boolean | null
              profile: string | null
              profile_revision: number | null
              /** @description 0 before the first activation. */
              revision: number
              since: string | null
              /**
               * @description active: the model server holds the model. unloaded: it has let it go. failed: `fault` says why. unsettled: a step did not come to its end here. unknown: the model server does not answer.
               * @enum {unknown}
               */
              state:
                | 'empty'
                | 'loading'
                | 'active'
                | 'unloading'
                | 'failed'
                | 'unloaded'
                | 'unsettled'
                | 'unknown'
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/profiles': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** List the profiles */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @description Profiles that are there and cannot be read. */
              errors: {
                code: string
                id: string
                message: string
              }[]
              /** @description By id. */
              profiles: {
                /** @enum {unknown} */
                backend: 'hnsw' | 'lance'
                bound_indexes: string[]
                bucket: string | null
                changed_at: string
                changed_by: string
                description: string
                embed_model: string | null
                hnsw: {
                  ef_construction: number
                  ef_search: number | null
                  m: number
                  seed: number
                } | null
                id: string
                model: string
                revision: number
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/profiles/{id}': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** A profile */
    get: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              backend: 'hnsw' | 'lance'
              bound_indexes: string[]
              bucket: string | null
              changed_at: string
              changed_by: string
              description: string
              embed_model: string | null
              hnsw: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              } | null
              id: string
              model: string
              revision: number
            }
          }
        }
      }
    }
    /**
     * Make or replace a profile
     * @description Whole: what is left out has its default. Indexes that are bound need not exist. Changes nothing of the GPU slot, also where the profile is the active one, until it is activated.
     */
    put: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
        }
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /**
             * @description What its indexes are meant to be; each is searched by the backend that it has.
             * @default hnsw
             * @enum {unknown}
             */
            backend?: 'hnsw' | 'lance'
            /**
             * @description What may be searched in the scope of the profile.
             * @default []
             */
            bound_indexes?: string[]
            /**
             * @description Provisioned with the activation, as a folder, where it is not registered.
             * @default null
             */
            bucket?: string | null
            /** @default  */
            description?: string
            /**
             * @description A note: an index is searched by its own embedder.
             * @default null
             */
            embed_model?: string | null
            /** @default null */
            hnsw?: {
              ef_construction?: number
              ef_search?: number | null
              m?: number
              seed?: number
            } | null
            id?: string
            /** @description As the model server calls it; without a tag it means `latest`. */
            model: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              backend: 'hnsw' | 'lance'
              bound_indexes: string[]
              bucket: string | null
              changed_at: string
              changed_by: string
              description: string
              embed_model: string | null
              hnsw: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              } | null
              id: string
              model: string
              revision: number
            }
          }
        }
        /** @description Default Response */
        201: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              /** @enum {unknown} */
              backend: 'hnsw' | 'lance'
              bound_indexes: string[]
              bucket: string | null
              changed_at: string
              changed_by: string
              description: string
              embed_model: string | null
              hnsw: {
                ef_construction: number
                ef_search: number | null
                m: number
                seed: number
              } | null
              id: string
              model: string
              revision: number
            }
          }
        }
      }
    }
    post?: never
    /** Remove a profile that does not hold the GPU slot */
    delete: {
      parameters: {
        query?: never
        header?: never
        path: {
          id: string
        }
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        204: {
          headers: {
            [name: string]: unknown
          }
          content?: never
        }
      }
    }
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/projection': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** How far the texts of each index are embedded, and what holds them up */
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              indexes: {
                embedder: {
                  dimension: number
                  model: string
                  name: string
                  normalised: boolean
                  version: string
                }
                failed: number
                /** @description Age of the oldest new text that waits, since this server heard of it. */
                freshness_s: number
                index: string
                last_error: {
                  at: string
                  code: string
                  message: string
                } | null
                pending: {
                  backfill: number
                  writes: number
                } | null
                /** @enum {unknown} */
                state:
                  | 'idle'
                  | 'working'
                  | 'resting'
                  | 'embedder_unavailable'
                  | 'embedder_mismatch'
                  | 'not_configured'
                  | 'not_owner'
                  | 'loading'
                /** @description Over the last minute. */
                texts_per_s: number
                /** @description Since the start of the server. */
                totals: {
                  backfill_processed: number
                  discarded_stale: number
                  failed: number
                  incremental_processed: number
                }
              }[]
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/projection/drain': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Embed until nothing waits, the time is up or the embedder does not answer */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            /** @description Milliseconds; then what was done is told. */
            deadline_ms?: number
            index?: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              backfill_processed: number
              discarded_stale: number
              embedder_unavailable_ticks: number
              failed: number
              incremental_processed: number
              /**
               * @description Why it ended. What cannot be embedded here now is not waited for.
               * @enum {unknown}
               */
              outcome: 'idle' | 'deadline' | 'embedder_unavailable' | 'closed'
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/projection/failed': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    /** List the texts of an index that could not be embedded, oldest failure first */
    get: {
      parameters: {
        query: {
          cursor?: string
          index: string
          limit?: number
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              failed: {
                at: string
                /** @description With others or alone. */
                attempts: number
                id: string
                reason: {
                  code: string
                  message: string
                }
                /** @description The lsn of the write of the text. */
                version: number
              }[]
              next_cursor: string | null
            }
          }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
  '/vectors/projection/requeue': {
    parameters: {
      query?: never
      header?: never
      path?: never
      cookie?: never
    }
    get?: never
    put?: never
    /** Try failed texts of an index again */
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      /** @description Either `ids` or `all`. */
      requestBody: {
        content: {
          'application/json': {
            /** @enum {boolean} */
            all?: true
            ids?: string[]
            index: string
          }
        }
      }
      responses: {
        /** @description Default Response */
        200: {
          headers: {
            [name: string]: unknown
          }
          content: {
            'application/json': {
              requeued: number
              /** @description Those of `ids` that have not failed. */
              unknown: string[]
            }
          }
        }
      }
    }
    delete?: never
    options?: never
    head?: never
    patch?: never
    trace?: never
  }
}
export type webhooks = Record<string, never>
export interface components {
  schemas: {
    /** @description Every error looks like this; 429 and 503 carry Retry-After. */
    ErrorReply: {
      error: {
        /** @enum {string} */
        code:
          | 'bad_request'
          | 'malformed_body'
          | 'invalid_name'
          | 'invalid_points'
          | 'invalid_vector'
          | 'vector_dimension_mismatch'
          | 'invalid_value'
          | 'file_corrupt'
          | 'invalid_filter'
          | 'invalid_cursor'
          | 'limit_exceeded'
          | 'body_too_large'
          | 'unsupported_media_type'
          | 'revision_mismatch'
          | 'idempotency_key_reused'
          | 'request_quarantined'
          | 'embedder_failed'
          | 'source_auth_failed'
          | 'source_tls_failed'
          | 'source_failed'
          | 'source_value_refused'
          | 'unauthenticated'
          | 'forbidden'
          | 'bucket_protected'
          | 'out_of_scope'
          | 'rate_limited'
          | 'route_not_found'
          | 'index_not_found'
          | 'point_not_found'
          | 'point_not_embedded'
          | 'bucket_not_found'
          | 'object_not_found'
          | 'operation_not_found'
          | 'generation_not_found'
          | 'generation_exists'
          | 'trial_not_found'
          | 'eval_not_found'
          | 'dead_letter_not_found'
          | 'profile_not_found'
          | 'profile_active'
          | 'profile_not_active'
          | 'dataset_not_found'
          | 'dataset_schema_mismatch'
          | 'document_not_found'
          | 'watch_not_found'
          | 'ingest_under_way'
          | 'snapshot_not_found'
          | 'snapshot_in_use'
          | 'document_conflict'
          | 'source_not_found'
          | 'index_exists'
          | 'bucket_exists'
          | 'bucket_in_use'
          | 'object_exists'
          | 'operation_cancelled'
          | 'not_configured'
          | 'stream_not_enabled'
          | 'no_promotion_to_roll_back'
          | 'nothing_to_roll_forward'
          | 'nothing_to_pin'
          | 'promotion_pinned'
          | 'acknowledgement_needed'
          | 'agent_held'
          | 'model_not_found'
          | 'embedder_mismatch'
          | 'lance_version_gone'
          | 'lance_too_few_rows'
          | 'wrong_backend'
          | 'points_exist'
          | 'delta_full'
          | 'stream_buffer_full'
          | 'too_many_exports'
          | 'core_suspended'
          | 'core_degraded'
          | 'builder_failed'
          | 'ingest_failed'
          | 'core_unavailable'
          | 'index_loading'
          | 'index_unavailable'
          | 'index_moving'
          | 'keywords_loading'
          | 'not_owner'
          | 'bucket_unreachable'
          | 'embedder_unavailable'
          | 'model_server_unavailable'
          | 'source_unreachable'
          | 'overloaded'
          | 'journal_full'
          | 'stream_draining'
          | 'stream_stopped'
          | 'dead_letters_full'
          | 'shutting_down'
          | 'deadline_exceeded'
          | 'storage_full'
          | 'memory_full'
          | 'log_fenced'
          | 'log_corrupt'
          | 'object_corrupt'
          | 'format_too_new'
          | 'storage_error'
          | 'internal'
          | 'invalid_config'
          | 'root_locked'
        details: {
          [key: string]: unknown
        }
        message: string
        retryable: boolean
      }
      request_id: string | null
      status: number
    }
  }
  responses: never
  parameters: never
  requestBodies: never
  headers: never
  pathItems: never
}
export type $defs = Record<string, never>
export type operations = Record<string, never>
