package peers;

import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.IDaoRegistry;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.binary.api.IBinaryStorageSvc;
import ca.uhn.fhir.jpa.binstore.DatabaseBinaryContentStorageSvcImpl;
import ca.uhn.fhir.jpa.config.HibernatePropertiesProvider;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.config.util.ResourceCountCacheUtil;
import ca.uhn.fhir.jpa.dao.FulltextSearchSvcImpl;
import ca.uhn.fhir.jpa.dao.IFulltextSearchSvc;
import ca.uhn.fhir.jpa.dao.search.HSearchSortHelperImpl;
import ca.uhn.fhir.jpa.dao.search.IHSearchSortHelper;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.provider.DaoRegistryResourceSupportedSvc;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.search.IStaleSearchDeletingSvc;
import ca.uhn.fhir.jpa.search.StaleSearchDeletingSvcImpl;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.match.config.SubscriptionProcessorConfig;
import ca.uhn.fhir.jpa.subscription.match.deliver.email.IEmailSender;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import ca.uhn.fhir.jpa.topic.SubscriptionTopicConfig;
import ca.uhn.fhir.jpa.util.ResourceCountCache;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.IResourceSupportedSvc;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import jakarta.persistence.EntityManagerFactory;
import java.nio.file.Path;
import java.util.Properties;
import javax.sql.DataSource;
import org.apache.commons.dbcp2.BasicDataSource;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.ServerConnector;
import org.hibernate.dialect.Dialect;
import org.hl7.fhir.dstu2.model.Subscription.SubscriptionChannelType;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;
import org.springframework.transaction.annotation.EnableTransactionManagement;

/** A HAPI FHIR JPA server for R4: {@code Server PORT DIRECTORY}. Its answers and checks are HAPI's defaults. */
public final class Server {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        Path folder = Path.of(arguments[1]).toAbsolutePath();
        System.setProperty("peers.folder", folder.toString());

        var spring = new AnnotationConfigApplicationContext(Storage.class);
        var jetty = new org.eclipse.jetty.server.Server();
        var connector = new ServerConnector(jetty);
        connector.setHost("127.0.0.1");
        connector.setPort(port);
        jetty.addConnector(connector);
        var handler = new ServletContextHandler();
        handler.setContextPath("/");
        handler.addServlet(new ServletHolder(new Door(spring)), "/fhir/*");
        jetty.setHandler(handler);
        jetty.start();
        System.out.println("listening on http://127.0.0.1:" + connector.getLocalPort() + "/fhir");
        jetty.join();
    }

    /** The servlet: every resource type and system operation of the JPA server. */
    private static final class Door extends RestfulServer {
        private final transient AnnotationConfigApplicationContext spring;

        Door(AnnotationConfigApplicationContext spring) {
            super(spring.getBean(FhirContext.class));
            this.spring = spring;
        }

        @Override
        protected void initialize() {
            var system = spring.getBean(IFhirSystemDao.class);
            registerProviders(spring.getBean(ResourceProviderFactory.class).createProviders());
            registerProvider(spring.getBean(IJpaSystemProvider.class));
            setServerConformanceProvider(new JpaCapabilityStatementProvider(this, system,
                    spring.getBean(JpaStorageSettings.class), spring.getBean(ISearchParamRegistry.class),
                    spring.getBean(IValidationSupport.class)));
            setPagingProvider(spring.getBean(DatabaseBackedPagingProvider.class));
            setDefaultResponseEncoding(EncodingEnum.JSON);
        }
    }

    /** What the JPA server must be given. */
    @Configuration
    @EnableTransactionManagement
    @Import({JpaR4Config.class, JpaBatch2Config.class, Batch2JobsConfig.class, ThreadPoolFactoryConfig.class,
        SubscriptionSubmitterConfig.class, SubscriptionProcessorConfig.class, SubscriptionChannelConfig.class,
        SubscriptionTopicConfig.class})
    public static class Storage {
        @Bean
        public DataSource dataSource() {
            var source = new BasicDataSource();
            // WRITE_DELAY=0: a commit is in the file before it is answered, also when the process is killed.
            source.setUrl("jdbc:h2:file:" + System.getProperty("peers.folder")
                    + "/hapi;WRITE_DELAY=0;DB_CLOSE_ON_EXIT=FALSE");
            source.setUsername("sa");
            source.setMaxTotal(20);
            return source;
        }

        @Bean
        @Primary
        public LocalContainerEntityManagerFactoryBean entityManagerFactory(DataSource source,
                ConfigurableListableBeanFactory beans, FhirContext context, JpaStorageSettings settings) {
            var factory = HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, context, settings);
            factory.setPersistenceUnitName("HAPI_PU");
            factory.setDataSource(source);
            var properties = new Properties();
            properties.put("hibernate.dialect", HapiFhirH2Dialect.class.getName());
            properties.put("hibernate.hbm2ddl.auto", "update");
            properties.put("hibernate.search.enabled", "false");
            factory.setJpaProperties(properties);
            return factory;
        }

        @Bean
        @Primary
        public JpaTransactionManager transactionManager(EntityManagerFactory factory) {
            return new JpaTransactionManager(factory);
        }

        @Bean
        @Primary
        public HibernatePropertiesProvider dialect(DataSource source) {
            return new HibernatePropertiesProvider() {
                @Override
                public Dialect getDialect() {
                    return new HapiFhirH2Dialect();
                }

                @Override
                public DataSource getDataSource() {
                    return source;
                }
            };
        }

        @Bean
        public JpaStorageSettings storageSettings() {
            return new JpaStorageSettings();
        }

        @Bean
        public SubscriptionSettings subscriptionSettings() {
            var settings = new SubscriptionSettings();
            settings.addSupportedSubscriptionType(SubscriptionChannelType.RESTHOOK);
            return settings;
        }

        @Bean
        public PartitionSettings partitionSettings() {
            return new PartitionSettings();
        }

        @Bean
        public DatabaseBackedPagingProvider pages() {
            return new DatabaseBackedPagingProvider();
        }

        @Bean
        public IResourceSupportedSvc supported(IDaoRegistry registry) {
            return new DaoRegistryResourceSupportedSvc(registry);
        }

        @Bean
        public ResourceCountCache myResourceCountsCache(IFhirSystemDao<?, ?> system) {
            return ResourceCountCacheUtil.newResourceCountCache(system);
        }

        @Bean
        public IBinaryStorageSvc binaries() {
            return new DatabaseBinaryContentStorageSvcImpl();
        }

        @Bean
        public IEmailSender email() {
            return message -> {};
        }

        @Bean
        public IFulltextSearchSvc fulltext() {
            return new FulltextSearchSvcImpl();
        }

        @Bean
        public IHSearchSortHelper sorting(ISearchParamRegistry parameters) {
            return new HSearchSortHelperImpl(parameters);
        }

        @Bean
        public IStaleSearchDeletingSvc staleSearches() {
            return new StaleSearchDeletingSvcImpl();
        }
    }
}
