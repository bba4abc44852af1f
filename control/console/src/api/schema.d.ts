export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        AgentAnswer: {
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            is_active: boolean;
            is_public: boolean;
            name: string;
            /** Format: date-time */
            updated_at: string;
            /** Format: uuid */
            user_id: string;
            version: number;
        };
        AgentConfigurationsAnswer: {
            agent_specific_config: Record<string, never>;
            inferencing_config: Record<string, never>;
            model_config: Record<string, never>;
            tools: Record<string, never>[];
            transcriber_config: Record<string, never>;
            tts_config: Record<string, never>;
            vad_config: Record<string, never>;
        };
        AgentCreate: {
            agent: components["schemas"]["AgentPart"];
            agent_model_config?: components["schemas"]["AgentModel"] | null;
            agent_specific_config?: components["schemas"]["AgentSpecific"] | null;
            transcriber_config?: components["schemas"]["AgentTranscriber"] | null;
            tts_config?: components["schemas"]["AgentVoice"] | null;
            vad_config?: components["schemas"]["AgentVoiceActivity"] | null;
        };
        AgentModel: {
            max_tokens?: number | null;
            model_name?: string | null;
            model_provider_id?: string | null;
            system_prompt?: string | null;
            temperature?: number | null;
        };
        AgentPart: {
            apply_noise_reduction?: boolean | null;
            description?: string | null;
            first_response_message?: string | null;
            is_active?: boolean | null;
            is_public?: boolean | null;
            name: string;
            recording_enabled?: boolean | null;
            welcome_message?: string | null;
            workflow_id?: string | null;
        };
        AgentPartChange: {
            apply_noise_reduction?: boolean | null;
            description?: string | null;
            first_response_message?: string | null;
            is_active?: boolean | null;
            is_public?: boolean | null;
            name?: string | null;
            recording_enabled?: boolean | null;
            welcome_message?: string | null;
            workflow_id?: string | null;
        };
        AgentRollback: {
            version: number;
        };
        AgentSpecific: {
            auto_terminate_call?: boolean | null;
            background_noise_id?: string | null;
            background_noise_volume?: number | null;
            caller_gender_detection_enabled?: boolean | null;
            conversation_stop_words?: string[] | null;
            end_call_message_mode?: ("fixed" | "context_aware") | null;
            end_of_speech_timeout?: number | null;
            inbound_transfer_routes?: components["schemas"]["TransferRoute"][] | null;
            llm_conversation_stop_enabled?: boolean | null;
            max_output_tokens?: number | null;
            message_of_cut?: string | null;
            noise_cancellation_strength?: number | null;
            session_timeout?: number | null;
            time_to_cut?: number | null;
            timezone?: string | null;
        };
        AgentTranscriber: {
            language?: unknown | null;
            provider_id?: string | null;
            transcriber_model_name?: string | null;
        };
        AgentUpdate: {
            agent?: components["schemas"]["AgentPartChange"] | null;
            agent_model_config?: components["schemas"]["AgentModel"] | null;
            agent_specific_config?: components["schemas"]["AgentSpecific"] | null;
            transcriber_config?: components["schemas"]["AgentTranscriber"] | null;
            tts_config?: components["schemas"]["AgentVoice"] | null;
            vad_config?: components["schemas"]["AgentVoiceActivity"] | null;
        };
        AgentVersionAnswer: {
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            user_id: string;
            version: number;
        };
        AgentVoice: {
            language?: unknown | null;
            tts_model_name?: string | null;
            tts_provider_id?: string | null;
            voice_name?: string | null;
            voice_parameters?: Record<string, never> | null;
        };
        AgentVoiceActivity: {
            max_allowed_silence_duration?: number | null;
            min_silence_duration_ms?: number | null;
            min_speech_duration_ms?: number | null;
            sampling_rate?: number | null;
            threshold?: number | null;
            vad_provider_id?: string | null;
        };
        ApiKeyAnswer: {
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            last_used_at: string | null;
            mode: string;
            name: string | null;
            prefix: string;
            product: string;
            provider_name: string | null;
        };
        ApiKeyCreate: {
            api_key?: string | null;
            mode?: ("live" | "test") | null;
            name?: string | null;
            product?: ("kupe" | "kros" | "vaani") | null;
            provider_name?: string | null;
            user_id?: string | null;
        };
        ApiKeyCreatedAnswer: {
            api_key: components["schemas"]["ApiKeyAnswer"];
            message: string;
        };
        ApiKeyExists: {
            provider_name: string;
            /** Format: uuid */
            user_id: string;
        };
        ApiKeyRename: {
            name: string;
        };
        AvailableNumberAnswer: {
            capabilities: unknown;
            locality: unknown;
            monthly_price: unknown;
            phone_number: unknown;
            region: unknown;
        };
        BatchAnswer: {
            batch_name: string;
            batch_size: number;
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            status: string;
            variable_names: string[];
        };
        BatchAnswerAnswer: {
            data: components["schemas"]["BatchAnswer"];
            success: boolean;
        };
        BatchCreate: {
            agent_id?: string | null;
            batch_name: string;
            batch_size?: number | null;
            /** Format: uuid */
            caller_phone_id: string;
            calling_hours?: string | null;
            calls_per_number_and_day?: number | null;
            calls_per_second?: number | null;
            description?: string | null;
            max_attempts?: number | null;
            retry_busy_seconds?: number | null;
            retry_failed_seconds?: number | null;
            retry_interrupted?: boolean | null;
            retry_no_answer_seconds?: number | null;
            ring_seconds?: number | null;
            scheduled_at?: string | null;
            time_zone?: string | null;
            user_id?: string | null;
            variable_names?: string[] | null;
            workflow_id?: string | null;
        };
        BatchDataAnswer: {
            data: unknown;
            success: boolean;
        };
        BatchDoneAnswer: {
            success: boolean;
        };
        BatchItemUpsert: {
            id?: string | null;
            to_phonenumber: string;
            variable_values?: Record<string, never> | null;
        };
        BatchPageAnswer: {
            items: components["schemas"]["BatchAnswer"][];
            page: number;
            page_size: number;
            total: number;
        };
        BatchRecords: {
            records: Record<string, never>[];
        };
        BatchUpsert: {
            items: components["schemas"]["BatchItemUpsert"][];
        };
        BatchVariables: {
            variable_names: string[];
        };
        BatchesAnswerAnswer: {
            data: components["schemas"]["BatchAnswer"][];
            success: boolean;
        };
        CallAnswer: {
            agent_id: string;
            /** @enum {string} */
            call_direction: "inbound" | "outbound";
            /** @enum {string} */
            call_type: "web" | "phone";
            disposition: string | null;
            duration_seconds: number | null;
            ended_at: string | null;
            from_number: string | null;
            /** Format: uuid */
            id: string;
            /** Format: date-time */
            started_at: string;
            status: string;
            to_number: string | null;
        };
        CallDayAnswer: {
            calls: number;
            /** Format: date */
            date: string;
            duration_seconds: number;
        };
        CallPageAnswer: {
            has_next: boolean;
            has_prev: boolean;
            items: components["schemas"]["CallAnswer"][];
            page: number;
            page_size: number;
            total: number;
        };
        CallTokenAnswer: {
            room: string;
            token: string;
            url: string;
        };
        CallTotalsAnswer: {
            active_calls: number;
            answered_calls: number;
            average_duration_seconds: number;
            completed_calls: number;
            inbound_calls: number;
            outbound_calls: number;
            total_calls: number;
            total_duration_seconds: number;
        };
        ChatReplyAnswer: {
            reply: string;
            /** Format: uuid */
            session_id: string;
        };
        ChatTurn: {
            /** Format: uuid */
            agent_id: string;
            message: string;
            session_id?: string | null;
            stream?: boolean | null;
        };
        CreatedCallAnswer: {
            /** Format: uuid */
            call_session_id: string;
            /** Format: uuid */
            request_id: string;
            /** @enum {string} */
            status: "success" | "failed";
            target_number: string;
            /** @enum {string} */
            telephony_provider: "pstn";
            /** Format: uuid */
            user_id: string;
        };
        CustomFunction: {
            description?: string | null;
            method?: ("GET" | "POST" | "PUT" | "PATCH" | "DELETE") | null;
            name: string;
            parameters?: Record<string, never> | null;
            /** Format: uri */
            url: string;
        };
        DashboardAnswer: {
            totals: components["schemas"]["CallTotalsAnswer"];
            trend: components["schemas"]["CallDayAnswer"][];
        };
        DeletedAnswer: {
            data: Record<string, never> | null;
            message: string;
        };
        DialerCampaignAnswer: {
            active: boolean;
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            name: string;
            slug: string;
        };
        DialerCampaignChange: {
            active?: boolean | null;
            agent_id?: string | null;
            agent_phone_number?: string | null;
            call_ratio?: number | null;
            dialer_interval?: number | null;
            dupe_days?: number | null;
            earliest_prospect_time?: string | null;
            email?: string | null;
            expire_days?: number | null;
            latest_prospect_time?: string | null;
            locale_name?: string | null;
            max_active_calls?: number | null;
            max_number_calls?: number | null;
            min_time_between_calls?: number | null;
            name?: string | null;
            workspace?: string | null;
        };
        DialerCampaignCreate: {
            active?: boolean | null;
            agent_id?: string | null;
            agent_phone_number?: string | null;
            call_ratio?: number | null;
            dialer_interval?: number | null;
            dupe_days?: number | null;
            earliest_prospect_time?: string | null;
            email?: string | null;
            expire_days?: number | null;
            latest_prospect_time?: string | null;
            locale_name?: string | null;
            max_active_calls?: number | null;
            max_number_calls?: number | null;
            min_time_between_calls?: number | null;
            name: string;
            workspace?: string | null;
        };
        DialerStatusAnswer: {
            active: boolean;
            completed: number;
            connected: number;
            dialing: number;
            failed: number;
            remaining: number;
            slug: string;
        };
        DialerUploadAnswer: {
            accepted: number;
            rejected: number;
            status: string;
            /** Format: uuid */
            uuid: string;
        };
        DispositionCountAnswer: {
            count: number;
            disposition: string;
        };
        EndpointAnswer: {
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            name: string;
            /** Format: uuid */
            organization_id: string;
            provider_config: Record<string, never>;
            /** @enum {string} */
            status: "active" | "inactive" | "error";
            /** @enum {string} */
            type: "webhook" | "vapi" | "retell" | "livekit" | "elevenlabs" | "vogent" | "custom_sip";
            /** Format: date-time */
            updated_at: string;
            url: string;
        };
        EndpointCreate: {
            name: string;
            phone_number_id?: string | null;
            provider_config?: Record<string, never> | null;
            /** @enum {string} */
            type: "webhook" | "vapi" | "retell" | "livekit" | "elevenlabs" | "vogent" | "custom_sip";
            url?: string | null;
        };
        EndpointErrorAnswer: {
            code: string;
            details: Record<string, never>;
            error: string;
        };
        EndpointUpdate: {
            name?: string | null;
            provider_config?: Record<string, never> | null;
            status?: ("active" | "inactive" | "error") | null;
            url?: string | null;
        };
        ErrorAnswer: {
            code: string;
            detail: string;
            errors: components["schemas"]["InvalidFieldAnswer"][];
        };
        FeatureFlags: Record<string, never>;
        ForgotPassword: {
            email: string;
        };
        GoogleLogin: {
            code?: string | null;
            id_token?: string | null;
            nonce?: string | null;
        };
        HealthAnswer: {
            database: string;
            service: string;
            status: string;
            timestamp: number;
            version: string;
        };
        InvalidFieldAnswer: {
            code: string;
            message: string;
            path: string;
        };
        LoggedInAnswer: {
            access_token: string;
            refresh_token: string;
            user: components["schemas"]["UserAnswer"];
        };
        Login: {
            email: string;
            invite_token?: string | null;
            password: string;
        };
        MapAgent: {
            /** Format: uuid */
            agent_id: string;
            phone_number: string;
        };
        MappedLineAnswer: {
            agent_id: string | null;
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            phone_number: string;
            /** Format: uuid */
            phone_number_id: string;
            /** Format: date-time */
            updated_at: string;
            workflow_id: string | null;
        };
        MeAnswer: {
            /** @enum {string} */
            auth: "bearer" | "api_key";
            email: string | null;
            full_name: string | null;
            phone: string | null;
            profile_image_url: string | null;
            /** Format: uuid */
            user_id: string;
            user_metadata: Record<string, never>;
        };
        MessageAnswer: {
            message: string;
        };
        OutboundCall: {
            agent_phone_number: string;
            dynamic_variables?: Record<string, never> | null;
            phone_number_to_dial: string;
        };
        PhoneLineAnswer: {
            country_code: string | null;
            /** Format: date-time */
            created_at: string;
            friendly_name: string | null;
            /** Format: uuid */
            id: string;
            is_active: boolean;
            phone_number: string;
            region: string | null;
        };
        PhoneLinesAnswer: {
            phone_numbers: components["schemas"]["PhoneLineAnswer"][];
            success: boolean;
        };
        PhoneMapping: {
            agent_id?: string | null;
            /** Format: uuid */
            phone_number_id: string;
            workflow_id?: string | null;
        };
        PhoneNumberAnswer: {
            agent_id: string | null;
            auth_username: string | null;
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            is_active: boolean;
            label: string | null;
            phone_number: string;
            provider: string;
            sip_address: string | null;
        };
        PlacedCallAnswer: {
            /** Format: uuid */
            call_id: string;
            /** @enum {string} */
            status: "dialing" | "failed";
        };
        Prospect: {
            name?: string | null;
            phone_number: string;
            variables?: Record<string, never> | null;
        };
        ProspectMadeAnswer: {
            phone_number: string;
            /** Format: uuid */
            uuid: string;
        };
        ProviderAnswer: {
            /** Format: uuid */
            id: string;
            is_available: boolean;
            is_default: boolean;
            model_name: string;
            provider_name: string;
            supported_languages: string[];
        };
        ProvidersAnswer: {
            model: components["schemas"]["ProviderAnswer"][];
            stt: components["schemas"]["ProviderAnswer"][];
            tts: components["schemas"]["ProviderAnswer"][];
            vad: components["schemas"]["ProviderAnswer"][];
        };
        PurchaseNumber: {
            country_code: string;
            phone_number: string;
            /** @enum {string} */
            provider: "twilio" | "vonage";
        };
        ReceivedAnswer: {
            received: boolean;
        };
        ResetPassword: {
            new_password: string;
            token: string;
        };
        SignedUpAnswer: {
            user: components["schemas"]["UserAnswer"];
        };
        Signup: {
            /** Format: email */
            email: string;
            invite_token?: string | null;
            name?: string | null;
            password: string;
            phone_number?: string | null;
        };
        SimpleAgent: {
            description?: string | null;
            name: string;
        };
        SimpleAgentMadeAnswer: {
            agent: components["schemas"]["AgentAnswer"];
            configurations: Record<string, never>;
            /** @enum {string} */
            validation_status: "valid";
        };
        SipTrunkCreate: {
            auth_password?: string | null;
            auth_username?: string | null;
            country_code?: string | null;
            email?: string | null;
            krisp_enabled?: boolean | null;
            label?: string | null;
            phone_number: string;
            provider?: string | null;
            sip_address: string;
        };
        SipTrunkUpdate: {
            auth_password?: string | null;
            auth_username?: string | null;
            email?: string | null;
            krisp_enabled?: boolean | null;
            label?: string | null;
            provider?: string | null;
            sip_address?: string | null;
        };
        TransferRoute: {
            condition_when_to_transfer?: string | null;
            display_name?: string | null;
            enabled?: boolean | null;
            phone_number: string;
            route_id?: string | null;
        };
        UserAnswer: {
            current_workspace_id: string | null;
            email: string | null;
            /** Format: uuid */
            id: string;
            name: string | null;
            phone_number: string | null;
        };
        VaaniBatchAnswer: {
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            name: string;
            /** @enum {string} */
            status: "scheduled" | "running" | "completed" | "failed";
        };
        VaaniBatchChange: {
            /** Format: date-time */
            scheduled_time: string;
            timezone?: string | null;
        };
        VoiceAnswer: {
            gender: string | null;
            /** Format: uuid */
            id: string;
            language: string | null;
            /** Format: uuid */
            provider_id: string;
            sample_url: string | null;
            voice_name: string;
        };
        VoiceCreate: {
            gender?: string | null;
            language?: string | null;
            /** Format: uuid */
            provider_id: string;
            sample_url?: string | null;
            voice_name: string;
        };
        WholeAgentAnswer: {
            agent: components["schemas"]["AgentAnswer"];
            configurations: components["schemas"]["AgentConfigurationsAnswer"];
        };
        WorkflowAnswer: {
            /** Format: date-time */
            created_at: string;
            definition: Record<string, never>;
            /** Format: uuid */
            id: string;
            name: string;
            /** Format: date-time */
            updated_at: string;
            /** Format: uuid */
            user_id: string;
            version: number;
        };
        WorkflowCheck: {
            definition: Record<string, never>;
        };
        WorkflowCheckedAnswer: {
            problems: components["schemas"]["WorkflowProblemAnswer"][];
            valid: boolean;
        };
        WorkflowCreate: {
            definition: Record<string, never>;
            name: string;
        };
        WorkflowProblemAnswer: {
            message: string;
            path: string;
        };
        WorkflowUpdate: {
            definition?: Record<string, never> | null;
            name?: string | null;
        };
        WorkspaceAgentAnswer: {
            LLM_model: string | null;
            LLM_provider: string | null;
            STT_provider: string | null;
            TTS_provider: string | null;
            agent_name: string;
            /** Format: date-time */
            created_at: string;
            first_message: string | null;
            /** Format: uuid */
            id: string;
            is_public: boolean;
            phone_number: string | null;
            system_prompt: string;
            /** Format: date-time */
            updated_at: string;
            /** Format: uuid */
            workspace_id: string;
        };
        WorkspaceAgentCreate: {
            LLM_model?: string | null;
            LLM_provider?: string | null;
            STT_provider?: string | null;
            TTS_provider?: string | null;
            agent_name: string;
            custom_functions?: components["schemas"]["CustomFunction"][] | null;
            first_message?: string | null;
            is_public?: boolean | null;
            max_call_duration?: number | null;
            max_tokens?: number | null;
            phone_number?: string | null;
            system_prompt?: string | null;
            temperature?: number | null;
        };
        WorkspaceAgentUpdate: {
            LLM_model?: string | null;
            LLM_provider?: string | null;
            STT_provider?: string | null;
            TTS_provider?: string | null;
            agent_name?: string | null;
            custom_functions?: components["schemas"]["CustomFunction"][] | null;
            first_message?: string | null;
            is_public?: boolean | null;
            max_call_duration?: number | null;
            max_tokens?: number | null;
            phone_number?: string | null;
            system_prompt?: string | null;
            temperature?: number | null;
        };
        WorkspaceAnswer: {
            /** Format: date-time */
            created_at: string;
            /** Format: uuid */
            id: string;
            name: string;
            slug: string;
            /** @enum {string} */
            type: "personal" | "team";
            /** Format: date-time */
            updated_at: string;
        };
        WorkspaceCreate: {
            name: string;
            type?: ("personal" | "team") | null;
        };
        WorkspaceInvite: {
            /** Format: email */
            email: string;
            role?: ("member" | "developer" | "admin" | "M" | "D" | "A") | null;
        };
        WorkspaceMemberAnswer: {
            email: string | null;
            name: string | null;
            /** @enum {string} */
            role: "member" | "developer" | "admin";
            /** Format: uuid */
            user_id: string;
        };
        WorkspaceSwitch: {
            /** Format: uuid */
            workspace_id: string;
        };
        WorkspaceSwitchedAnswer: {
            /** Format: uuid */
            current_workspace_id: string;
        };
        WorkspaceUpdate: {
            name?: string | null;
            type?: ("personal" | "team") | null;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
